"""A scorer that needs what another one made: computed after it, or from what is stored of it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.runner import build
from storage.plan import shards_of
from storage.shard import SCORES
from tests.factory import downloaded
from tests.filters.test_heads import saved
from tests.filters.towers import model_in
from tests.pipeline.test_score import ROWS, chunks, decodes, with_scorers

__all__ = ["decodes"]
WITHOUT = [f"{name}=null" for name in ("language", "nsfw", "hate", "sexual")]


def test_a_head_that_is_added_later_opens_no_picture(tmp_path: Path, decodes: list[tuple[int, ...]]):
    with_clip = [*WITHOUT, f"clip.model={model_in(tmp_path / 'clip', 'clip')}"]
    config = with_scorers(downloaded(tmp_path, ROWS), *with_clip)
    (shard,) = shards_of(config.run)
    build("score", config)(shard)
    before = chunks(shard)
    assert len(before["clip_image"]) > 0
    decodes.clear()
    head = saved(tmp_path, {"weight": np.ones((1, 8), np.float32), "bias": np.zeros(1, np.float32)})
    with_head = [*with_clip, f"aesthetic.file={head['file']}", f"aesthetic.sha256={head['sha256']}"]
    build("score", with_scorers(config, *with_head))(shard)
    after = chunks(shard)
    assert decodes == [] and {name: after[name] for name in before} == before
    table = pq.read_table(shard.path(SCORES), partitioning=None).to_pydict()
    sums = [float(np.frombuffer(each, "<f2").astype(np.float32).sum()) for each in table["clip_image"]]
    assert table["aesthetic_score"] == pytest.approx(sums, abs=1e-5)

    other = model_in(tmp_path / "other", "clip", seed=1)
    changed = with_scorers(config, *[f"clip.model={other}" if "clip.model" in text else text for text in with_head])
    assert build("score", changed).state(shard) == "stale"
    build("score", changed)(shard)
    again = pq.read_table(shard.path(SCORES), partitioning=None).to_pydict()
    sums = [float(np.frombuffer(each, "<f2").astype(np.float32).sum()) for each in again["clip_image"]]
    assert again["aesthetic_score"] == pytest.approx(sums, abs=1e-5) and again["clip_image"] != table["clip_image"]
    assert again["pdq"] == table["pdq"] and len(decodes) == len(ROWS)
