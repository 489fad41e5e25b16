"""Folders of one's own that are called like ours, or like Python's, in today's folder are never imported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from storage.checkpoint import committed
from tests.training.small_training import BASE

ROOT = Path(__file__).parents[1]
OURS = ("commands", "configs", "storage", "filters", "cascade", "pipeline", "evaluation", "training", "report", "slurm")
PYTHONS = ("json", "random", "torch", "numpy", "logging", "multiprocessing", "typing", "yaml")
TRAINING = {
    "run": "run/train/base16",
    "data": {"index": "run/index.parquet", "window_shards": 2, "workers": 0},
    "text": {"encoder": {"encoder": "minilm"}},
    "steps": 2,
    "batch": 4,
    "micro_batch": 2,
    "processes": 2,
    "validation": {"every_steps": 0},
}


def hostile(folder: Path) -> Path:
    """Make a folder in which every import of its own raises, and some pictures."""
    for name in (*OURS, *PYTHONS):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('the {name} of today was imported')\n")
    for name in ("sitecustom", "secrets", "queue"):
        (folder / f"{name}.py").write_text(f"raise RuntimeError('the {name}.py of today was imported')\n")
    (folder / "pictures").mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(folder / f"pictures/{number}.png")
        (folder / f"pictures/{number}.txt").write_text(f"picture number {number}")
    score = {"language": None, "nsfw": None, "hate": None}
    pipeline = {"run": "run", "adopt": {"source": "pictures"}, "score": score, "workers": 2}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline))
    (folder / "base16.yaml").write_text(yaml.safe_dump(TRAINING | {"stage": {**BASE, "text_width": 384}}))
    return folder


def corgi(folder: Path, *words: str) -> None:
    """Run a command from the folder, where only PYTHONPATH leads to our code."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "corgi", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_python_dash_m_corgi_imports_nothing_of_todays_folder(tmp_path: Path):
    corgi(hostile(tmp_path), "adopt", "pipeline.yaml")
    corgi(tmp_path, "status", "run")


@pytest.mark.long
def test_the_whole_way_and_a_training_of_two_processes(tmp_path: Path):
    hostile(tmp_path)
    for step in ("adopt", "score", "dedup", "select", "embed", "index"):
        corgi(tmp_path, step, "pipeline.yaml")
    corgi(tmp_path, "train", "base16.yaml")
    assert len(committed(tmp_path / "run/train/base16")) == 1
    corgi(tmp_path, "report", "pipeline.yaml")
