"""Several captions for a pair: stored side by side, drawn by weight, the pair's own where there is no other."""

import html
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.text_encoder import TextEmbedder
from configs import UserError
from pipeline.config import PipelineConfig
from pipeline.export.export import export
from pipeline.export.options import Options
from pipeline.runner import build, run_step
from storage import pairs
from storage.index import read as read_index_file
from storage.plan import shards_of
from storage.text_embeds import TextEmbedsFile
from tests.factory import config_for, noise_image, stored, through, write_pairs
from training.config import TrainConfig
from training.data.dataset import PairDataset
from training.data.index import check_text, read_index
from training.data.loader import Loader, caption_columns

from .small_training import BASE, config_of

ROWS = 24
WEIGHTS = {"caption": 1.0, "llava": 3.0}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """Every third pair has no second caption, or a blank one."""
    folder = tmp_path_factory.mktemp("captions")
    second = [f"a longer text about &lt;number&gt; {n}" if n % 3 else (None, "  ")[n % 2] for n in range(ROWS)]
    table = {"url": [f"http://a.test/{n}.jpg" for n in range(ROWS)], "caption": [f"number {n}" for n in range(ROWS)]}
    pq.write_table(pa.table({**table, "llava": second}), folder / "table.parquet")
    config = config_for(folder, plan={"shard_size": 10}, embed={"captions": ["llava"]})
    through(config, "plan")
    for shard in shards_of(config.run):
        write_pairs(shard, pairs.planned(shard), lambda pair: stored(noise_image(int(pair["caption"].split()[1]))))
    through(config, "score", "dedup", "select", "embed", "index")
    return config


def training(pipeline: PipelineConfig, folder: Path, **text: Any) -> TrainConfig:
    stage = {**BASE, "text_width": 384}
    text = {"captions": WEIGHTS, "drop": 0.0, **text}
    return config_of(folder, pipeline.run / "index.parquet", stage=stage, text=text)


def batch_of(config: TrainConfig, positions: Any) -> Any:
    return Loader(config, PairDataset(config, read_index(config.data))).batch(positions)


@pytest.mark.long
def test_embeds_of_each_column_stand_side_by_side(pipeline: PipelineConfig):
    assert read_index_file(pipeline.run / "index.parquet").captions == ["llava"]
    encode = TextEmbedder()
    for shard in shards_of(pipeline.run):
        own, second = TextEmbedsFile(shard, "minilm"), TextEmbedsFile(shard, "minilm", "llava")
        assert own.keys == second.keys
        rows = {row["key"]: row for row in pq.read_table(shard.path(".parquet")).to_pylist()}
        for row, key in enumerate(own.keys):
            text = rows[key]["llava"]
            text = html.unescape(text) if text and text.strip() else rows[key]["caption"]
            (expected,) = encode(pipeline.embed.text, [text])
            assert np.array_equal(second.at(row, key=key), expected)


def test_captions_are_drawn_by_weight_and_by_position_alone(pipeline: PipelineConfig, tmp_path: Path):
    config = training(pipeline, tmp_path)
    columns = caption_columns(config, np.arange(4000))
    assert 0.72 < Counter(columns)["llava"] / 4000 < 0.78
    assert caption_columns(config, np.arange(100, 200)) == columns[100:200]
    assert caption_columns(training(pipeline, tmp_path, captions={}), np.arange(5)) == ["caption"] * 5
    assert caption_columns(training(pipeline, tmp_path, captions={"llava": 2}), np.arange(5)) == ["llava"] * 5


@pytest.mark.long
def test_a_batch_has_the_embeds_of_the_captions_that_it_names(pipeline: PipelineConfig, tmp_path: Path):
    batch = batch_of(training(pipeline, tmp_path), range(48))
    kinds = Counter(caption.startswith("a longer") for caption in batch.captions)
    assert kinds[True] > 15 and kinds[False] > 15
    for caption, embeds, mask in zip(batch.captions, batch.text_embeds, batch.text_mask, strict=True):
        (bits,) = TextEmbedder()(pipeline.embed.text, [caption])
        expected = (bits.astype(np.uint32) << 16).view(np.float32)
        assert np.array_equal(embeds[mask].float().numpy(), expected)


def test_live_text_is_the_same_as_stored(pipeline: PipelineConfig, tmp_path: Path):
    stored_, live = (batch_of(training(pipeline, tmp_path, mode=mode), range(24)) for mode in ("stored", "live"))
    assert not any("&lt;" in caption for caption in live.captions), "nobody reads what html escaped"
    assert stored_.captions == live.captions and stored_.text_embeds.equal(live.text_embeds)


def test_a_column_that_is_not_stored_is_refused_before_training(pipeline: PipelineConfig, tmp_path: Path):
    config = training(pipeline, tmp_path, captions={"caption": 1, "blip": 1})
    with pytest.raises(UserError, match=r"'blip', but .* holds text embeds of caption, llava; add it"):
        check_text(read_index(config.data), config.text, text_width=384)
    with pytest.raises(UserError, match=r"'blip', but .* has no such column"):
        batch_of(training(pipeline, tmp_path, captions={"blip": 1}, mode="live"), range(4))


def test_a_column_that_no_table_has_is_refused_by_the_plan(pipeline: PipelineConfig, tmp_path: Path):
    values = {"table": pipeline.table, "run": tmp_path / "run"}
    config = pipeline.model_copy(update={**values, "embed": pipeline.embed.model_copy(update={"captions": ("llav",)})})
    with pytest.raises(UserError, match="'llav', which is no column of text; did you mean 'llava'"):
        run_step("plan", config)


def test_an_export_carries_them(pipeline: PipelineConfig, tmp_path: Path):
    export(pipeline.run, Options("webdataset", text_embeds="beside"), folder=tmp_path / "out", workers=1)
    config = training(pipeline, tmp_path)
    exported = config.model_copy(
        update={"data": config.data.model_copy(update={"index": tmp_path / "out" / "index.parquet"})}
    )
    check_text(read_index(exported.data), exported.text, text_width=384)
    ours, theirs = (sorted(batch_of(each, range(24)).keys) for each in (config, exported))
    assert ours == theirs
    assert any(caption.startswith("a longer") for caption in batch_of(exported, range(24)).captions)


def test_a_further_caption_that_is_added_encodes_only_that(pipeline: PipelineConfig):
    shard = shards_of(pipeline.run)[0]
    (shard.path(".minilm+llava.arrow")).unlink()
    step = build("embed", pipeline)
    assert step.state(shard) == "missing"
    counts = step(shard)
    assert counts["reused"] >= 10 and 0 < counts["encoded"] <= 10
    assert step.state(shard) == "done"
