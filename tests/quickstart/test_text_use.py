"""The quickstart's base learns from real pairs what words mean, and its twin, told the captions of others, does not."""

import subprocess
from pathlib import Path

import pytest

from cascade.text_encoder import TextEmbedder
from cascade.weights import load_stage
from evaluation.eval_set import kept
from evaluation.evaluate import config_of
from evaluation.measure import Evaluation
from pipeline.config import PipelineConfig
from quickstart.run import YAML

from .killed_commands import start
from .small_quickstart import precision

STEPS = 400  # 13,000 pictures: a tenth of what the quickstart's default gives it


def trained(whole: PipelineConfig, run: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """A base under way on the whole quickstart's pairs, on one core."""
    paced = [f"steps={STEPS}", f"checkpoint.every_steps={STEPS}", "validation.every_steps=0", "wandb.mode=disabled"]
    where = [f"run={run}", f"data.index={whole.run / 'index.parquet'}", f"precision={precision()}"]
    return start(["train", str(YAML / "base16.yaml"), *where, *paced, *overrides], run.with_suffix(".log"), threads=1)


def gaps(whole: PipelineConfig, run: Path) -> list[float]:
    """How much a trained base uses its text, on training names and on held-out ones."""
    config = config_of(whole.run)
    evaluation = Evaluation(whole.run, config, [load_stage(run)], kept(whole.run, config), TextEmbedder())
    return [entry["figure"] for entry in evaluation.gaps()[0].values()]


@pytest.mark.soak  # its minutes depend on the CPU; small twins learn in tests/cascade/test_learning.py each time
def test_right_captions_teach_and_those_of_others_do_not(whole: PipelineConfig, tmp_path: Path):
    right, twin = tmp_path / "right", tmp_path / "twin"
    processes = [trained(whole, right), trained(whole, twin, "text.pairing=shuffled")]
    assert [process.wait() for process in processes] == [0, 0], right.with_suffix(".log").read_text()[-3000:]
    training, held_out = gaps(whole, right)
    assert training > 0.12 and held_out > 0.08, (training, held_out)
    assert max(map(abs, gaps(whole, twin))) < 0.02, gaps(whole, twin)
