"""Tars that need not be copied for the few images that cannot be used as they lie, and tars that are packed."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError
from pipeline.adopt import packed
from pipeline.adopt.config import AdoptConfig
from pipeline.adopt.step import schema_of
from pipeline.runner import run_step
from pipeline.why import find
from storage.plan import shards_of
from storage.shard import TAR, Shard
from tests.factory import images_of, noise_image, through

from .test_adopt import AFTER, adopted, config_of, png, rows_of, sample, several, statuses, turned, write_tar


def with_odd_ones(folder: Path, count: int = 20) -> Path:
    """A tar of which two images are no plain JPEG."""
    members = several(count) | sample("p", 90, image=png(90), ending="png") | sample("t", 91, image=turned(91))
    return write_tar(folder / "x.tar", members)


def test_a_few_images_that_cannot_be_used_as_they_lie_are_lost_and_nothing_is_copied(tmp_path: Path):
    source = with_odd_ones(tmp_path)
    config = adopted(tmp_path, source, adopt={"leave_out": 0.1})
    assert Shard(config.run, 0).path(TAR).resolve() == source
    assert images_of(config.run) == {f"x-{seed:04d}": noise_image(seed) for seed in range(20)}
    lost = {row["key"]: row for row in rows_of(config) if row["status"] != "ok"}
    assert {key: row["status"] for key, row in lost.items()} == {"x-p": "needs_copy", "x-t": "needs_copy"}
    assert lost["x-p"]["detail"] == "a png that would have to be encoded anew"
    assert (lost["x-p"]["original_width"], lost["x-p"]["tar_offset"], lost["x-p"]["stored_sha256"]) == (96, None, None)
    through(config, *AFTER)
    assert pq.read_table(config.run / "index.parquet")["train"].to_pylist() == [20]
    assert not find(config, "x-p").kept


@pytest.mark.parametrize("leave_out", [0.0, 0.05])
def test_where_there_are_more_the_tar_is_copied_with_all_of_them(tmp_path: Path, leave_out: float):
    config = adopted(tmp_path, with_odd_ones(tmp_path), adopt={"leave_out": leave_out})
    assert not Shard(config.run, 0).path(TAR).is_symlink()
    assert {*statuses(config).values()} == {"ok"} and len(images_of(config.run)) == 22


def test_what_was_adopted_before_such_a_share_was_known_stays_done():
    assert "leave_out" not in AdoptConfig().made_of()
    assert AdoptConfig(leave_out=0).made_of() != AdoptConfig().made_of()


def pack(tar: Path, name: str = "x.tar.gz", *, cut: int | None = None) -> Path:
    path = tar.with_name(name)
    path.write_bytes(gzip.compress(tar.read_bytes())[:cut])
    tar.unlink()
    return path


def without_places(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("tar_offset", "tar_size")} for row in rows]


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz"])
def test_a_packed_tar_is_adopted_like_an_unpacked_one_but_copied(tmp_path: Path, name: str):
    lost = {"key": "gone", "url": "http://a.test/1.jpg", "caption": "gone", "status": "failed_to_download"}
    configs = []
    for folder in (tmp_path / "plain", tmp_path / "packed"):
        tar = write_tar(folder / "mine" / "x.tar", several(4) | sample("s", 7, punsafe=0.5))
        pq.write_table(pa.Table.from_pylist([{**lost, "error_message": "HTTP Error 404"}]), tar.with_suffix(".parquet"))
        if folder.name == "packed":
            pack(tar, name)
        configs.append(adopted(folder, folder / "mine"))
    plain, packed_ = configs
    assert Shard(plain.run, 0).path(TAR).is_symlink() and not Shard(packed_.run, 0).path(TAR).is_symlink()
    assert images_of(plain.run) == images_of(packed_.run) and len(images_of(plain.run)) == 5
    assert without_places(rows_of(plain)) == without_places(rows_of(packed_))
    assert {row["key"]: row["status"] for row in rows_of(packed_)}["x-gone"] == "http_404"
    through(packed_, *AFTER)
    assert not [path for path in packed_.run.rglob("*") if "unpacked" in path.name]
    assert "punsafe" in schema_of(packed_.adopt).names


def test_a_packed_tar_that_is_cut_short_gives_what_came_before(tmp_path: Path):
    tar = write_tar(tmp_path / "x.tar", several(8))
    half = len(gzip.compress(tar.read_bytes())) // 2
    reasons = list(statuses(adopted(tmp_path, pack(tar, cut=half))).values())
    assert reasons[0] == "ok" and reasons[-1] == "cut_short"


@pytest.mark.parametrize("data", [b"", b"no gzip at all", gzip.compress(b"no tar at all" * 100, mtime=0)])
def test_what_is_no_packed_tar_is_said_to_be_damaged(tmp_path: Path, data: bytes):
    (tmp_path / "x.tar.gz").write_bytes(data)
    expected = ["cut_short"] if data else []  # an empty file is an empty tar, packed or not
    assert list(statuses(adopted(tmp_path, tmp_path / "x.tar.gz")).values()) == expected


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed, "FREE", 2**20)
    bomb = pack(write_tar(tmp_path / "x.tar", {"a.jpg": bytes(20 * 2**20), "a.txt": b"zeros"}))
    with pytest.raises(UserError, match=r"x.tar.gz: more than 2,.* bytes come out of 2.,...; .* adopt.max_unpacked_gb"):
        adopted(tmp_path, bomb)
    assert not [path for path in (tmp_path / "run").rglob("*") if "unpacked" in path.name]
    with pytest.raises(UserError, match="more than 1,048 bytes"):
        adopted(tmp_path / "small", bomb, adopt={"max_unpacked_gb": 1048 / 2**30})


def test_a_tar_that_is_there_packed_and_unpacked_is_taken_once(tmp_path: Path):
    tar = write_tar(tmp_path / "mine" / "x.tar", several(2))
    (tmp_path / "mine" / "x.tar.gz").write_bytes(gzip.compress(tar.read_bytes()))
    with pytest.raises(UserError, match=r"x.tar.gz is there unpacked, too; give one of them"):
        run_step("adopt", config_of(tmp_path, tmp_path / "mine"))


def test_packed_and_unpacked_tars_may_lie_side_by_side(tmp_path: Path):
    pack(write_tar(tmp_path / "mine" / "x.tar", several(2, start="x")))
    write_tar(tmp_path / "mine" / "y.tar", several(2, start="y"))
    config = adopted(tmp_path, tmp_path / "mine")
    assert list(statuses(config)) == ["x0000", "x0001", "y0000", "y0001"]
    links = [shard.path(TAR).is_symlink() for shard in shards_of(config.run)]
    assert links == [False, True]
