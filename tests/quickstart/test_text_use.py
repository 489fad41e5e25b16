"""The quickstart's base learns from real pairs what words mean, and its twin, told the captions of others, does not."""

from pathlib import Path

import pytest

from cascade.weights import load_stage
from pipeline.config import PipelineConfig
from quickstart.chosen import kept
from quickstart.measure import FiguresConfig, Work
from quickstart.run import YAML

from .killing import finish

STEPS = 400  # 13,000 pictures: a tenth of what the quickstart's default gives it


def gaps(whole: PipelineConfig, run: Path, *overrides: str) -> list[float]:
    """How much a base trained here and now uses its text, on training names and on held-out ones."""
    paced = [f"steps={STEPS}", f"checkpoint.every_steps={STEPS}", "validation.every_steps=0", "wandb.mode=disabled"]
    where = [f"run={run}", f"data.index={whole.run / 'index.parquet'}"]
    finish(["train", str(YAML / "base16.yaml"), *where, *paced, *overrides], run.with_suffix(".log"))
    figures, _ = Work(whole.run, FiguresConfig(), [load_stage(run)], kept(whole.run)).gaps()
    return [figure["figure"] for figure in figures.values()]


@pytest.mark.long
def test_right_captions_teach_and_those_of_others_do_not(whole: PipelineConfig, tmp_path: Path):
    training, held_out = gaps(whole, tmp_path / "right")
    assert training > 0.12 and held_out > 0.08, (training, held_out)
    twin = gaps(whole, tmp_path / "twin", "text.pairing=shuffled")
    assert max(map(abs, twin)) < 0.02, twin
