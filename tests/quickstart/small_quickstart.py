"""A small quickstart's pipeline, run in this process over the real small web."""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from cascade.generate import Precision
from configs import load
from configs.steps import entries_of
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from project.calibrate import quicker_precision
from quickstart.run import STAGES, configure
from quickstart.table import TABLE, TRUTH, prepare
from quickstart.web import WEB, serving

PAIRS = 120
STEPS = dict.fromkeys(STAGES, 2)
SEVERAL_SHARDS = ("pipeline.plan.shard_size=32",)


@functools.cache
def precision() -> Precision:
    """What this machine computes in: where that is not bf16, bf16 would take ten times as long."""
    return quicker_precision()


def configured(run: Path, *, port: int, overrides: Sequence[str] = SEVERAL_SHARDS) -> PipelineConfig:
    """The configs for a web at this port."""
    configure(run, STEPS, minutes=1, port=port, precision=precision(), overrides=overrides)
    return load(PipelineConfig, run / "pipeline.yaml")


def begun(small: PipelineConfig, run: Path) -> None:
    """A run with the input of the small quickstart and nothing else."""
    run.mkdir()
    for name in (TABLE, TRUTH):
        shutil.copy(small.run / name, run / name)
    (run / WEB).symlink_to(small.run / WEB)


def piped(run: Path, *, pairs: int | None = PAIRS, workers: int = 1) -> PipelineConfig:
    """The input, then plan to index."""
    prepare(run, pairs=pairs)
    with serving(run, port=0) as port:
        config = configured(run, port=port)
        for entry in entries_of("table"):
            outcome = run_step(entry.name, config, workers=workers)
            assert not outcome.failed, outcome.failed
    return config
