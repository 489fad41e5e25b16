"""Shards are read unchanged by the libraries that people have: webdataset 0.2 and 1.x, and Hugging Face datasets."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from storage.plan import shards_of
from storage.shard import TAR
from tests.factory import downloaded

ROWS: list[dict[str, Any]] = [{"seed": n, "caption": f"picture number {n}"} for n in range(20)]
READ = """
import json, sys, webdataset
from io import BytesIO
from PIL import Image
found = []
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    picture = Image.open(BytesIO(sample["jpg"])).convert("RGB")
    found.append([sample["__key__"], sample["txt"].decode(), picture.size])
print(json.dumps([webdataset.__version__, found]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    return downloaded(tmp_path_factory.mktemp("readers"), ROWS)


def tars(config: PipelineConfig) -> list[str]:
    return [str(shard.path(TAR)) for shard in shards_of(config.run)]


def check(found: list) -> None:
    assert sorted(caption for _, caption, _ in found) == sorted(row["caption"] for row in ROWS)
    assert [key for key, *_ in found] == sorted(key for key, *_ in found)
    assert all(list(size) == [96, 96] for *_, size in found)


def test_webdataset_of_today_reads_the_tars(made: PipelineConfig):
    done = subprocess.run([sys.executable, "-c", READ, *tars(made)], capture_output=True, text=True, check=True)
    version, found = json.loads(done.stdout)
    assert version.startswith("0.2")
    check(found)


@pytest.mark.long
def test_webdataset_1_reads_the_tars(made: PipelineConfig, tmp_path: Path):
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*install, "--target", tmp_path, "webdataset>=1,<2"], check=True)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", READ, *tars(made)], env=env, capture_output=True, text=True, check=True
    )
    version, found = json.loads(done.stdout)
    assert version.startswith("1.")
    check(found)


def test_hugging_face_datasets_reads_the_tars(made: PipelineConfig, tmp_path: Path):
    import datasets

    files = {"train": tars(made)}
    rows = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=str(tmp_path))
    check([[row["__key__"], row["txt"], row["jpg"].size] for row in rows])
