"""Shard tars: equal bytes, standard readers, one pread."""

import io
import tarfile
from pathlib import Path

import pytest
import webdataset

from storage.tar import RECORD, TarReader, TarWriter

MEMBERS = {"a1.jpg": b"\xff\xd8picture", "a1.txt": "ein Corgi \u00fc".encode(), "a1.json": b"{}", "b2.jpg": bytes(1024)}


def write(path: Path) -> dict[str, int]:
    with path.open("wb") as file:
        tar = TarWriter(file)
        offsets = {name: tar.add(name, data=data) for name, data in MEMBERS.items()}
        tar.close()
    return offsets


def test_equal_members_give_equal_bytes_of_whole_records(tmp_path: Path):
    write(tmp_path / "one.tar")
    write(tmp_path / "two.tar")
    data = (tmp_path / "one.tar").read_bytes()
    assert data == (tmp_path / "two.tar").read_bytes()
    assert len(data) % RECORD == 0


def test_every_member_is_one_pread_away(tmp_path: Path):
    offsets = write(tmp_path / "one.tar")
    with TarReader(tmp_path / "one.tar") as tar:
        for name, data in MEMBERS.items():
            assert tar.read(offsets[name], size=len(data)) == data


def test_tarfile_reads_it_and_finds_no_trace_of_when_and_who(tmp_path: Path):
    offsets = write(tmp_path / "one.tar")
    with tarfile.open(tmp_path / "one.tar") as tar:
        for info, (name, data) in zip(tar.getmembers(), MEMBERS.items(), strict=True):
            assert (info.name, info.size, info.offset_data) == (name, len(data), offsets[name])
            assert (info.mtime, info.uid, info.gid, info.mode, info.uname, info.gname) == (0, 0, 0, 0o644, "", "")
            file = tar.extractfile(info)
            assert file is not None and file.read() == data


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_groups_members_into_samples(tmp_path: Path):
    write(tmp_path / "one.tar")
    samples = list(webdataset.WebDataset(str(tmp_path / "one.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["a1", "b2"]
    assert samples[0]["txt"] == MEMBERS["a1.txt"]


def test_a_tar_that_is_cut_short_is_named(tmp_path: Path):
    offsets = write(tmp_path / "one.tar")
    path = tmp_path / "one.tar"
    path.write_bytes(path.read_bytes()[: offsets["b2.jpg"] + 10])
    with TarReader(path) as tar, pytest.raises(ValueError, match=r"one\.tar is cut short"):
        tar.read(offsets["b2.jpg"], size=1024)


def test_a_name_too_long_for_ustar_is_refused():
    with pytest.raises(ValueError):
        TarWriter(io.BytesIO()).add("x" * 300, data=b"")
