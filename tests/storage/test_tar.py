"""Shard tars: equal bytes, standard readers, one pread."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import webdataset

from storage.tar import RECORD, TarReader, TarWriter, decode, decode_scaled

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


@pytest.mark.parametrize(("height", "width"), [(171, 256), (256, 173), (64, 64), (65, 64), (200, 300), (7, 1000)])
def test_a_scaled_image_says_how_much_of_its_pixels_it_covers(height: int, width: int):
    data = simplejpeg.encode_jpeg(np.zeros((height, width, 3), np.uint8))
    for at_least_px in (1, 7, 32, 64):
        image = decode_scaled(data, at_least_px=at_least_px)
        assert (image.height, image.width) == (height, width)
        least = min(height, width)
        assert least * image.scale >= min(at_least_px, least)
        assert image.scale == 1 / 8 or least * (image.scale - 1 / 8) < at_least_px
        assert image.pixels.shape == (-(-height * image.scale // 1), -(-width * image.scale // 1), 3)


def test_an_image_is_read_where_it_lies(tmp_path: Path):
    data = simplejpeg.encode_jpeg(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    with (tmp_path / "one.tar").open("wb") as file:
        offset = (tar := TarWriter(file)).add("a.jpg", data=data)
        tar.close()
    with TarReader(tmp_path / "one.tar") as reader:
        assert np.array_equal(reader.image(offset, size=len(data)), decode(data))
