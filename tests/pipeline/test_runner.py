"""The runner: shares, skips, retries, and stays quiet about nothing."""

import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from configs import UserError, fingerprint
from configs.steps import StepEntry
from pipeline.runner import run_shards, run_step
from pipeline.step import ShardStep
from pipeline.workers import spread
from storage.shard import URLS, Shard
from storage.tables import read_mark, write_table
from tests.factory import config_for


@dataclass(frozen=True)
class Double(ShardStep):
    """Reads a number, writes its double; breaks in a chosen way on chosen shards."""

    entry = StepEntry("double", "shard", "Double a number.", writes=".out.parquet", reads=(URLS,))
    factor: int = 2
    break_on: tuple[int, ...] = ()
    how: str = "raise"

    def fingerprint(self, shard: Shard) -> str:
        return fingerprint(self.factor, shard.path(URLS).read_text())

    def __call__(self, shard: Shard) -> Counter[str]:
        tried = shard.path(".tried")
        tried.write_text(tried.read_text() + "x" if tried.exists() else "x")
        if shard.number in self.break_on and (self.how != "once" or tried.read_text() == "x"):
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("this one is broken")
        table = pa.table({"n": [int(shard.path(URLS).read_text()) * self.factor]})
        write_table(shard.path(self.writes), table, fingerprint=self.fingerprint(shard))
        return Counter(done=1)


def shards(run_folder: Path, count: int) -> list[Shard]:
    made = [Shard(run_folder, number) for number in range(count)]
    for shard in made:
        shard.path(URLS).parent.mkdir(parents=True, exist_ok=True)
        shard.path(URLS).write_text(str(shard.number))
    return made


@pytest.mark.long
def test_ranks_share_the_shards_without_meeting(tmp_path: Path):
    all_shards = shards(tmp_path, 5)
    first = run_shards(Double(), all_shards, rank=0, world_size=2, workers=2)
    assert first.done == 3 and first.counts == {"done": 3}
    assert [Double().state(shard) for shard in all_shards] == ["done", "missing", "done", "missing", "done"]
    assert run_shards(Double(), all_shards, rank=1, world_size=2).done == 2
    again = run_shards(Double(), all_shards)
    assert (again.done, again.skipped) == (0, 5)


@dataclass(frozen=True)
class Spread(Double):
    """Counts how many processes' work it may take."""

    def __call__(self, shard: Shard) -> Counter[str]:
        return super().__call__(shard) + Counter(spread=spread())


@pytest.mark.long
@pytest.mark.parametrize(("count", "each"), [(1, 5), (2, 3), (5, 1), (6, 1)])
def test_fewer_shards_than_workers_share_all_of_them(tmp_path: Path, count: int, each: int):
    outcome = run_shards(Spread(), shards(tmp_path, count), workers=5)
    assert outcome.counts == {"done": count, "spread": count * each}


@pytest.mark.long
def test_a_changed_config_or_input_makes_stale_exactly_what_depends_on_it(tmp_path: Path):
    all_shards = shards(tmp_path, 3)
    run_shards(Double(), all_shards)
    all_shards[1].path(URLS).write_text("10")
    assert [Double().state(shard) for shard in all_shards] == ["done", "stale", "done"]
    assert run_shards(Double(), all_shards).done == 1
    assert [Double(factor=3).state(shard) for shard in all_shards] == ["stale"] * 3


@pytest.mark.long
@pytest.mark.parametrize("how", ["raise", "die"])
def test_a_broken_shard_is_tried_twice_and_the_others_go_on(tmp_path: Path, how: str):
    all_shards = shards(tmp_path, 4)
    outcome = run_shards(Double(break_on=(2,), how=how), all_shards, workers=1)
    assert outcome.done == 3 and set(outcome.failed) == {2}
    assert "broken" in outcome.failed[2] or "Broken" in outcome.failed[2]
    assert all_shards[2].path(".tried").read_text() == "xx"


def test_what_fails_once_is_made_at_the_second_try(tmp_path: Path):
    outcome = run_shards(Double(break_on=(0,), how="once"), shards(tmp_path, 2))
    assert outcome.done == 2 and not outcome.failed


def test_a_shard_without_its_inputs_waits_and_says_for_what(tmp_path: Path):
    all_shards = shards(tmp_path, 2)
    all_shards[0].path(URLS).unlink()
    outcome = run_shards(Double(), all_shards)
    assert (
        outcome.done == 1
        and '00000.urls.parquet is not there; run "corgi plan PIPELINE.yaml" first' in outcome.failed[0]
    )
    assert read_mark(all_shards[0].path(".out.parquet")) is None


def test_a_rank_outside_the_world_is_refused(tmp_path: Path):
    config = config_for(tmp_path)
    with pytest.raises(UserError, match="rank 2 of 2"):
        run_step("score", config, rank=2, world_size=2)
    assert not config.run.exists()


def test_a_fault_common_to_all_shards_ends_the_step(tmp_path: Path):
    all_shards = shards(tmp_path, 60)
    with pytest.raises(
        UserError, match=r"10 shards in a row failed for one cause, .* were not tried: .*broken"
    ) as error:
        run_shards(Double(break_on=tuple(range(60))), all_shards, workers=2)
    assert error.value.exit_code == 3
    assert sum(shard.path(".tried").exists() for shard in all_shards) < 15


@pytest.mark.long
def test_neighbours_that_share_a_fault_do_not_end_it(tmp_path: Path):
    all_shards = shards(tmp_path, 40)
    outcome = run_shards(Double(break_on=tuple(range(12))), all_shards, workers=2)
    assert outcome.done == 28 and len(outcome.failed) == 12
