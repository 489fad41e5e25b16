"""A small quickstart's pipeline, run in this process over the real small web."""

from pathlib import Path

from configs import load
from pipeline.config import PipelineConfig
from pipeline.steps import ORDER, TABLE_STEPS, run_step
from quickstart.run import configure
from quickstart.table import prepare
from quickstart.web import serving

PAIRS = 120
STEPS = {"base16": 2, "sr64": 2, "sr256": 2}


def prepared(run: Path, *, port: int = 8765, pairs: int = PAIRS) -> PipelineConfig:
    """Pictures, tables and configs; nothing has run."""
    prepare(run, pairs=pairs)
    return configured(run, port=port)


def configured(run: Path, *, port: int) -> PipelineConfig:
    """The configs for a web at this port. Shards of 32, so that there are several."""
    configure(run, STEPS, port=port, overrides=["pipeline.plan.shard_size=32"])
    return load(PipelineConfig, run / "pipeline.yaml")


def piped(run: Path, *, pairs: int | None = PAIRS, workers: int = 1, world_size: int = 1) -> PipelineConfig:
    """plan to index, split over `world_size` ranks one after the other."""
    prepare(run, pairs=pairs)
    with serving(run, port=0) as port:
        config = configured(run, port=port)
        for name in ORDER:
            for rank in range(1 if name in TABLE_STEPS else world_size):
                outcome = run_step(name, config, rank=rank, world_size=world_size, workers=workers)
                assert not outcome.failed, outcome.failed
    return config
