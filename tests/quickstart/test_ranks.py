"""plan to index gives the same bytes however the work is shared, and a rank never looks at another rank's shards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from configs.steps import entries_of
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from quickstart.web import serving
from storage.plan import shards_of

from .killed_commands import digests
from .small_quickstart import begun, configured

FILES = ("plan*", "duplicates.parquet", "index.parquet", "0*/*")


@pytest.mark.long
def test_one_worker_makes_the_bytes_of_two(small: PipelineConfig, tmp_path: Path):
    run = tmp_path / "run"
    begun(small, run)
    with serving(run, port=0) as port:
        config = configured(run, port=port)
        for entry in entries_of("table"):
            assert not run_step(entry.name, config, workers=1).failed
    assert digests(run, *FILES) == digests(small.run, *FILES)


@pytest.mark.parametrize(
    "world_size",
    [
        pytest.param(2, marks=pytest.mark.soak),
        pytest.param(3, marks=pytest.mark.long),
        pytest.param(7, marks=pytest.mark.soak),
    ],
)
def test_ranks_make_the_bytes_of_one_with_the_other_shards_out_of_reach(
    small: PipelineConfig, tmp_path: Path, world_size: int
):
    run = tmp_path / "run"
    begun(small, run)
    with serving(run, port=0) as port:
        config = configured(run, port=port)
        for entry in entries_of("table"):
            if entry.kind == "table":
                assert not run_step(entry.name, config).failed
                continue
            for rank in range(world_size):
                with others_hidden(config, rank=rank, world_size=world_size):
                    outcome = run_step(entry.name, config, rank=rank, world_size=world_size, workers=1)
                assert not outcome.failed, outcome.failed
    assert digests(run, *FILES) == digests(small.run, *FILES)


@contextmanager
def others_hidden(config: PipelineConfig, *, rank: int, world_size: int) -> Iterator[None]:
    """The files of all other ranks' shards are away inside."""
    moved = []
    for shard in shards_of(config.run):
        if shard.number % world_size != rank:
            for file in shard.path("").parent.glob(f"{shard}*"):
                away = config.run / "away" / file.name
                away.parent.mkdir(exist_ok=True)
                file.rename(away)
                moved.append((away, file))
    yield
    for away, home in moved:
        away.rename(home)
