"""score: pictures are decoded once and no larger than needed; what a scorer made stays when another is added."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
from PIL import Image

from configs import UserError, resolve
from filters import own
from filters.pdq import Pdq
from pipeline.config import PipelineConfig
from pipeline.runner import build, run_step
from storage import pairs, tar
from storage.plan import shards_of
from storage.shard import SCORES, Shard
from tests.factory import config_for, downloaded, stored, through, write_pairs

ROWS = [{"seed": n, "caption": f"picture number {n}"} for n in range(5)]
MINE = """
class Red:
    needs = ("images", "stored_width")
    columns = {"red": "float32", "width": "int32"}
    def __call__(self, batch):
        return {"red": [float(image[..., 0].mean()) for image in batch.images], "width": batch.columns["stored_width"]}
"""


def with_scorers(config: PipelineConfig, *differences: str) -> PipelineConfig:
    return resolve(PipelineConfig, config.model_dump(mode="json"), [f"score.{text}" for text in differences])


def chunks(shard: Shard) -> dict[str, bytes]:
    """The bytes of each column as they lie in the file."""
    path, found = shard.path(SCORES), {}
    data, footer = path.read_bytes(), pq.read_metadata(path)
    for number in range(footer.num_columns):
        column = footer.row_group(0).column(number)
        begin = column.dictionary_page_offset or column.data_page_offset
        found[column.path_in_schema] = data[begin : begin + column.total_compressed_size]
    return found


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return downloaded(tmp_path, ROWS)


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of every picture that is decoded."""
    shapes: list[tuple[int, ...]] = []
    decode = simplejpeg.decode_jpeg

    def counted(*args: Any, **options: Any) -> np.ndarray:
        image = decode(*args, **options)
        shapes.append(image.shape)
        return image

    monkeypatch.setattr(tar.simplejpeg, "decode_jpeg", counted)
    return shapes


def test_each_picture_is_decoded_once_for_all_scorers(config: PipelineConfig, decodes: list[tuple[int, ...]]):
    config = with_scorers(config, "nsfw={}", "pdq={}")
    through(config, "score")
    assert decodes == [(96, 96, 3)] * len(ROWS)
    assert build("score", config).state(shards_of(config.run)[0]) == "done"


def test_no_picture_is_decoded_where_no_scorer_looks(config: PipelineConfig, decodes: list[tuple[int, ...]]):
    through(with_scorers(config, "pdq=null", "noise=null"), "score")
    assert decodes == []


def test_large_pictures_are_decoded_at_the_smallest_scale_that_is_enough(
    tmp_path: Path, decodes: list[tuple[int, ...]]
):
    shard, rng = Shard(tmp_path / "run", 0), np.random.default_rng(0)
    wide = np.asarray(Image.fromarray(rng.integers(0, 256, (25, 50, 3), np.uint8)).resize((3000, 1500)))
    out = io.BytesIO()
    Image.fromarray(wide).save(out, "JPEG", quality=95)
    planned = pa.table({"key": ["0" * 24], "url": ["http://a.test/1"], "caption": ["wide"]})
    write_pairs(shard, planned, lambda pair: stored(out.getvalue()))
    config = config_for(tmp_path)
    build("score", config)(shard)
    assert decodes == [(563, 1125, 3)]  # 3/8
    decodes.clear()
    build("score", with_scorers(config, "pdq.max_side_px=1024"))(shard)
    assert decodes == [(1125, 2250, 3)]  # 6/8
    (whole,) = Pdq(config.score.pdq)(_batch(wide))["pdq"]  # type: ignore[attr-defined]
    build("score", config)(shard)
    (found,) = pq.read_table(shard.path(SCORES))["pdq"].to_pylist()
    bits = np.unpackbits(np.frombuffer(whole, np.uint8) ^ np.frombuffer(found, np.uint8)).sum()
    assert bits <= 10  # of 256; 31 still means the same picture


def _batch(image: np.ndarray) -> Any:
    from filters.base import Batch

    return Batch(images=[image])


def test_a_further_scorer_leaves_the_bytes_of_the_others(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch):
    through(config, "score")
    (shard,) = shards_of(config.run)
    before, asked = chunks(shard), list[str]()
    for kind in ("size.Size", "caption.Caption", "pdq.Pdq", "nsfw.Nsfw"):
        call = _class_of(kind).__call__
        monkeypatch.setattr(_class_of(kind), "__call__", _counted(kind, call, asked))
    further = with_scorers(config, "nsfw={}")
    assert build("score", further).state(shard) == "stale"
    through(further, "score")
    assert {*asked} == {"nsfw.Nsfw"}
    after = chunks(shard)
    assert {name: after[name] for name in before} == before and {*after} - {*before} == {"nsfw_score"}
    asked.clear()
    through(with_scorers(further, "size.of=stored"), "score")
    assert {*asked} == {"size.Size"}
    asked.clear()
    through(config, "score")  # size as before, nsfw left out again
    assert {*asked} == {"size.Size"} and chunks(shard) == before


def test_all_at_once_or_one_by_one_gives_the_same_bytes(config: PipelineConfig):
    (shard,) = shards_of(config.run)
    through(with_scorers(config, "pdq=null", "noise=null"), "score")
    through(config, "score")
    by_and_by = shard.path(SCORES).read_bytes()
    shard.path(SCORES).unlink()
    through(config, "score")
    assert shard.path(SCORES).read_bytes() == by_and_by


def _class_of(kind: str) -> Any:
    from importlib import import_module

    module, name = kind.split(".")
    return getattr(import_module(f"filters.{module}"), name)


def _counted(kind: str, call: Any, asked: list[str]) -> Any:
    def counted(self: Any, batch: Any) -> Any:
        asked.append(kind)
        return call(self, batch)

    return counted


def test_own_scorers_work_in_worker_processes_and_stay_without_being_named_again(
    config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    through(config, "score")
    (shard,) = shards_of(config.run)
    before = chunks(shard)
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setenv(own.VARIABLE, json.dumps([str(tmp_path / "mine.py")]))
    own._scorers_of.cache_clear()
    assert run_step("score", config, workers=1).done == 1
    table = pq.read_table(shard.path(SCORES))
    assert table["width"].to_pylist() == pairs.stored(shard, ["stored_width"])["stored_width"].to_pylist()
    assert all(0 < value < 255 for value in table["red"].to_pylist())
    assert before.items() <= chunks(shard).items()
    monkeypatch.setenv(own.VARIABLE, "[]")
    assert build("score", config).state(shard) == "done"
    through(with_scorers(config, "size.of=stored"), "score")
    assert pq.read_table(shard.path(SCORES))["red"].equals(table["red"])
    through(config, "score", "dedup")
    rules = {"red": "red > 0", "wide": "width = 96"}
    judged = resolve(PipelineConfig, {**config.model_dump(mode="json"), "select": {"rules": rules}})
    assert through(judged, "select")["select"] == {"kept": len(ROWS)}


@pytest.mark.parametrize(
    ("needs", "column", "words"),
    [
        ("stord_width", "mine", "scorer Mine needs 'stord_width', which no pair has; did you mean 'stored_width'"),
        ("captions", "url", "scorer Mine makes 'url', which pairs have already"),
        ("captions", "near_copy", "scorer Mine makes 'near_copy', which pairs have already"),
    ],
)
def test_own_scorers_need_what_is_there_and_make_what_is_not(
    config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: str, column: str, words: str
):
    source = f"class Mine:\n  needs = ('{needs}',)\n  columns = {{'{column}': 'int8'}}\n"
    (tmp_path / "mine.py").write_text(f"{source}  def __call__(self, batch): return {{'{column}': [0] * 5}}")
    monkeypatch.setenv(own.VARIABLE, json.dumps([str(tmp_path / "mine.py")]))
    own._scorers_of.cache_clear()
    with pytest.raises(UserError, match=words):
        through(config, "score")
