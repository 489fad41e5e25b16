"""plan to index gives the same bytes however the work is shared, and a rank never looks at another rank's shards."""

import shutil
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.plan import shards_of
from pipeline.steps import ORDER, TABLE_STEPS, run_step
from quickstart.web import serving

from .killing import digests
from .small import configured

pytestmark = pytest.mark.long

FILES = ("plan*", "duplicates.parquet", "index.parquet", "0*/*")


def begun(small: PipelineConfig, run: Path) -> None:
    """A run with the input of the small quickstart and nothing else."""
    run.mkdir()
    for name in ("table.parquet", "truth.parquet"):
        shutil.copy(small.run / name, run / name)
    (run / "web").symlink_to(small.run / "web")


@pytest.mark.parametrize("workers", [1])
def test_one_worker_makes_the_bytes_of_two(small: PipelineConfig, tmp_path: Path, workers: int):
    run = tmp_path / "run"
    begun(small, run)
    with serving(run, port=0) as port:
        config = configured(run, port=port)
        for name in ORDER:
            assert not run_step(name, config, workers=workers).failed
    assert digests(run, *FILES) == digests(small.run, *FILES)


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_make_the_bytes_of_one_with_the_other_shards_out_of_reach(
    small: PipelineConfig, tmp_path: Path, world_size: int
):
    run = tmp_path / "run"
    begun(small, run)
    with serving(run, port=0) as port:
        config = configured(run, port=port)
        for name in ORDER:
            if name in TABLE_STEPS:
                assert not run_step(name, config).failed
                continue
            for rank in range(world_size):
                hidden = hide(config, rank=rank, world_size=world_size)
                outcome = run_step(name, config, rank=rank, world_size=world_size, workers=1)
                assert not outcome.failed, outcome.failed
                for away, home in hidden:
                    away.rename(home)
    assert digests(run, *FILES) == digests(small.run, *FILES)


def hide(config: PipelineConfig, *, rank: int, world_size: int) -> list[tuple[Path, Path]]:
    """Moves the files of all other ranks' shards away; returns where from and where to."""
    moved = []
    for shard in shards_of(config.run):
        if shard.number % world_size != rank:
            for file in shard.path("").parent.glob(f"{shard}*"):
                away = config.run / "away" / file.name
                away.parent.mkdir(exist_ok=True)
                file.rename(away)
                moved.append((away, file))
    return moved
