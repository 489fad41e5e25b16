"""Old torch files are read without unpickling, and whatever could run is refused."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation import torch_file


def saved(state: object) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def state() -> OrderedDict[str, torch.Tensor]:
    table = torch.arange(24.0).reshape(4, 6)
    return OrderedDict(whole=table, part=table[1:3, ::2].clone().t(), count=torch.tensor(7))


def test_arrays_are_what_torch_saved():
    read = torch_file.parse(saved(state()))
    assert sorted(read) == ["count", "part", "whole"]
    for name, tensor in state().items():
        np.testing.assert_array_equal(read[name], tensor.numpy())
    assert read["whole"].dtype == np.float32 and read["count"].dtype == np.int64


def test_a_pickle_that_would_run_something_is_refused_and_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    start: list[object] = [torch_file.MAGIC, torch_file.VERSION, {}]
    header = b"".join(pickle.dumps(part, protocol=2) for part in start)
    with pytest.raises(ValueError, match="refused"):
        torch_file.parse(header + pickle.dumps({"weight": Evil()}, protocol=2))
    assert not (tmp_path / "ran").exists()


def test_other_types_of_tensors_are_refused_by_name():
    with pytest.raises(ValueError, match="HalfStorage"):
        torch_file.parse(saved(OrderedDict(a=torch.zeros(2, dtype=torch.float16))))


def test_a_cut_file_is_refused():
    with pytest.raises(ValueError, match="should hold"):
        torch_file.parse(saved(state())[:-4])


def test_bytes_after_the_end_are_refused():
    with pytest.raises(ValueError, match="left over"):
        torch_file.parse(saved(state()) + b"x")


def test_a_tensor_beyond_its_storage_is_refused():
    storage = torch_file._Storage("1", np.dtype("<f4"), 10)
    with pytest.raises(ValueError, match="beyond its storage"):
        torch_file._checked(torch_file._Tensor(storage, 2, (3, 3), (3, 1)))


def test_the_digest_is_checked_first(tmp_path: Path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"anything")
    with pytest.raises(ValueError, match="sha256"):
        torch_file.read(file, sha256="0" * 64)
