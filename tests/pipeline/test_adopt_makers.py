"""Shards as the makers that people use write them, from `adopt` to a training."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import PipelineConfig
from pipeline.download import img2dataset_child
from pipeline.runner import run_step
from storage import pairs
from storage.plan import shards_of
from storage.shard import TAR
from tests.factory import images_of, noise_image
from tests.training.conftest import train_afresh as train
from tests.training.small_training import BASE, losses, values_of, write_config

from .download_server import Page, jpeg, serve
from .test_adopt import AFTER, adopted, config_of, rows_of

CHILD = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}


def goes_on_to_training(config: PipelineConfig, folder: Path) -> None:
    for name in AFTER:
        assert not run_step(name, config).failed
    stage = {**BASE, "text_width": 384}  # MiniLM's
    file = write_config(folder, values_of(folder / "train", config.run / "index.parquet", stage=stage, steps=3))
    assert train(file) == 0
    assert len(losses(folder / "train")) == 3


def test_what_the_shard_writer_of_webdataset_makes(tmp_path: Path):
    import webdataset

    (tmp_path / "mine").mkdir()
    with webdataset.ShardWriter(str(tmp_path / "mine" / "train-%06d.tar"), maxcount=3, verbose=0) as writer:
        for seed in range(7):
            told = {"uid": f"u{seed}", "text": "not this", "clip_b32_similarity_score": seed / 8}
            writer.write({"__key__": f"sample{seed:06d}", "jpg": noise_image(seed), "txt": f"n {seed}", "json": told})
    config = adopted(tmp_path, tmp_path / "mine")
    rows = rows_of(config)
    assert [row["caption"] for row in rows] == [f"n {seed}" for seed in range(7)]
    assert [row["clip_b32_similarity_score"] for row in rows] == [seed / 8 for seed in range(7)]
    assert [row["key"] for row in rows[:1]] == ["train-000000-sample000000"]
    assert images_of(config.run) == {row["key"]: noise_image(seed) for seed, row in enumerate(rows)}
    assert all(shard.path(TAR).is_symlink() for shard in shards_of(config.run))


@pytest.mark.long
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="img2dataset needs imghdr, which Python 3.13 has not")
def test_what_img2dataset_makes_from_the_web_to_a_training(tmp_path: Path):
    pages = {f"127.0.0.1/{number}.jpg": Page(jpeg(number, 300 + number, 260)) for number in range(40)}
    urls = tmp_path / "urls.jsonl"
    with serve(pages) as web:
        lines = [{"url": f"http://{web.target}/{number}.jpg", "caption": f"drawing {number}"} for number in range(42)]
        urls.write_text("\n".join(map(json.dumps, lines)))
        arguments: dict[str, Any] = {
            "url_list": str(urls),
            "input_format": "jsonl",
            "url_col": "url",
            "caption_col": "caption",
        }
        arguments |= {"output_folder": str(tmp_path / "mine"), "output_format": "webdataset", "image_size": 128}
        arguments |= {"number_sample_per_shard": 14, "processes_count": 1, "thread_count": 4, "compute_hash": "sha256"}
        (tmp_path / "arguments.json").write_text(json.dumps(arguments))
        command = [sys.executable, "-P", img2dataset_child.__file__, str(tmp_path / "arguments.json")]
        subprocess.run(command, check=True, env=CHILD, cwd=tmp_path, capture_output=True, timeout=120)
    assert len(list((tmp_path / "mine").glob("*.tar"))) == 3
    config = config_of(tmp_path, tmp_path / "mine", select={"rules": {"wide": "original_width < 330"}})
    assert run_step("adopt", config).counts == {"ok": 40, "http_404": 2}
    assert all(shard.path(TAR).is_symlink() for shard in shards_of(config.run))
    stored = [row for shard in shards_of(config.run) for row in pairs.stored(shard).to_pylist()]
    assert {row["caption"]: row["original_width"] for row in stored} == {
        f"drawing {number}": 300 + number for number in range(40)
    }
    beside = pa.concat_tables(map(pq.read_table, (tmp_path / "mine").glob("*.parquet")))
    theirs = {row["key"]: row["sha256"] for row in beside.to_pylist()}
    assert {row["key"]: row["fetched_sha256"] for row in stored}.items() <= theirs.items()
    goes_on_to_training(config, tmp_path)
