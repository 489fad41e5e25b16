"""dedup over any number of parts and workers, and over kills, says what plain loops say of the whole run."""

import os
from collections import defaultdict
from collections.abc import Callable
from functools import partial, partialmethod
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from configs import UserError
from pipeline import dedup, phases
from pipeline.dedup_parts import Parts
from pipeline.runner import run_step
from storage import duplicates, pairs
from storage.shard import Shard

from .scored_run import SHARD_ROWS, made, rows_of, write_pairs


def by_hand(rows: list[dict[str, Any]], *, distance: int, max_caption_count: int) -> list[dict[str, Any]]:
    """What duplicates.parquet must say, by comparing all with all."""
    stored = [{**row, "shard": number // SHARD_ROWS} for number, row in enumerate(rows) if row["status"] == pairs.OK]
    copies = []
    for kind, column, keep in (("exact", "stored_sha256", 1), ("caption", "caption", max_caption_count)):
        equal = defaultdict(list)
        for row in stored:
            equal[row[column]].append(row)
        for rows_of_one in equal.values():
            copies += [{**row, "kind": kind, "keeper": rows_of_one[0]["key"]} for row in rows_of_one[keep:]]
    fit = [row for row in stored if row["pdq_quality"] >= 50]
    group = {row["key"]: {row["key"]} for row in fit}
    for a, b in combinations(fit, 2):
        apart = int.from_bytes(a["pdq"]) ^ int.from_bytes(b["pdq"])
        if apart.bit_count() <= distance and group[a["key"]] is not group[b["key"]]:
            group[a["key"]] |= group[b["key"]]
            group |= dict.fromkeys(group[b["key"]], group[a["key"]])
    copies += [{**row, "kind": "near", "keeper": min(group[row["key"]])} for row in fit]
    copies = [copy for copy in copies if copy["key"] != copy["keeper"]]
    chosen = [{name: copy[name] for name in duplicates.SCHEMA.names} for copy in copies]
    return sorted(chosen, key=lambda copy: (copy["shard"], copy["key"], copy["kind"]))


def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "BLOCK_ROWS", 3 * SHARD_ROWS)
    monkeypatch.setattr(dedup, "PART_ROWS", 60)
    monkeypatch.setattr("pipeline.dedup_parts.LINKS", 20)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distance", [0, 9, 15])
def test_copies_are_those_found_by_comparing_all_with_all(tmp_path: Path, monkeypatch, seed: int, distance: int):
    rows = rows_of(seed, 215)
    config = made(tmp_path, rows, dedup={"distance": distance, "max_caption_count": 3})
    expected = by_hand(rows, distance=distance, max_caption_count=3)
    assert {copy["kind"] for copy in expected} == {"exact", "near", "caption"}
    outcome = run_step("dedup", config)
    whole = pq.read_table(tmp_path / duplicates.DUPLICATES)
    assert whole.to_pylist() == expected and outcome.counts.total() == len(expected)
    (tmp_path / duplicates.DUPLICATES).unlink()
    in_small_parts(monkeypatch)
    assert run_step("dedup", config).counts == outcome.counts
    assert pq.read_table(tmp_path / duplicates.DUPLICATES).to_pylist() == expected
    assert not (tmp_path / dedup.SCRATCH).exists()


@pytest.mark.long
def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, monkeypatch):
    in_small_parts(monkeypatch)
    files = []
    for workers in (1, 2):
        config = made(tmp_path / str(workers), rows_of(5, 200), workers=workers, dedup={"distance": 8})
        run_step("dedup", config)
        files.append((config.run / duplicates.DUPLICATES).read_bytes())
    assert files[0] == files[1]


class Killed(BaseException):
    """Ends the step at a task, as a kill would: what was committed stays, and nothing is tidied up."""


TASKS = ("collect", "equal", "distinct", "spread", "gather", "compare", "connect", "rows")


def counted(monkeypatch: pytest.MonkeyPatch, done: list[str], *, kill_at: str | None = None) -> None:
    """Note the tasks that are done; end at the second of a name, or the first of `connect`, which has no second."""
    for name in TASKS:
        monkeypatch.setattr(Parts, name, partialmethod(_counted, name, getattr(Parts, name), done, kill_at))


def _counted(
    parts: Parts, name: str, work: Callable[..., None], done: list[str], kill_at: str | None, *arguments: Any
) -> None:
    if name == kill_at and (name in done or name == "connect"):
        raise Killed
    work(parts, *arguments)
    done.append(name)


@pytest.mark.parametrize("name", TASKS)
def test_after_a_kill_only_what_is_missing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    in_small_parts(monkeypatch)
    config = made(tmp_path, rows_of(6, 200), dedup={"distance": 8})
    whole, until_the_kill, afterwards = list[str](), list[str](), list[str]()
    with monkeypatch.context() as patch:
        counted(patch, whole)
        run_step("dedup", config)
    expected = (tmp_path / duplicates.DUPLICATES).read_bytes()
    (tmp_path / duplicates.DUPLICATES).unlink()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        counted(patch, until_the_kill, kill_at=name)
        run_step("dedup", config)
    for folder in (tmp_path / dedup.SCRATCH).glob("*/*"):
        (folder / ".00000.elsewhere-1-1.scratch").write_bytes(b"cut off")
    with monkeypatch.context() as patch:
        counted(patch, afterwards)
        run_step("dedup", config)
    assert until_the_kill + afterwards == whole and until_the_kill and afterwards
    assert (tmp_path / duplicates.DUPLICATES).read_bytes() == expected


def cut_off(folder: Path, **_: Any) -> None:
    """End where something would be removed."""
    if folder.exists():
        raise Killed


def test_what_other_settings_left_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    in_small_parts(monkeypatch)
    rows = rows_of(7, 200)
    config = made(tmp_path, rows, dedup={"distance": 15, "max_caption_count": 3})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        counted(patch, [], kill_at="rows")
        run_step("dedup", config)
    other = config.model_copy(update={"dedup": config.dedup.model_copy(update={"distance": 9})})
    (left,) = (tmp_path / dedup.SCRATCH).iterdir()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(dedup.shutil, "rmtree", cut_off)
        run_step("dedup", other)
    assert not left.exists() and [folder.name for folder in (tmp_path / dedup.SCRATCH).iterdir()] == [dedup.REMOVED]
    run_step("dedup", other)
    expected = by_hand(rows, distance=9, max_caption_count=3)
    assert pq.read_table(tmp_path / duplicates.DUPLICATES).to_pylist() == expected


def test_work_in_hand_can_lie_on_another_disk_and_is_taken_up_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    in_small_parts(monkeypatch)
    fast, rows = tmp_path / "fast", rows_of(7, 200)
    settings = {"distance": 8, "max_caption_count": 3}
    here = made(tmp_path / "here", rows, dedup=settings)
    runs = [made(tmp_path / name, rows, dedup={**settings, "scratch": str(fast)}) for name in "ab"]
    run_step("dedup", here)
    expected = (here.run / duplicates.DUPLICATES).read_bytes()
    for config in runs:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            counted(patch, [], kill_at="rows")
            run_step("dedup", config)
        assert not (config.run / dedup.SCRATCH).exists()
    assert len({folder.name for folder in fast.iterdir()}) == 2
    for number, config in enumerate(runs):
        done = list[str]()
        with monkeypatch.context() as patch:
            counted(patch, done)
            run_step("dedup", config)
        assert {*done} == {"rows"} and (config.run / duplicates.DUPLICATES).read_bytes() == expected
        assert len([*fast.iterdir()]) == 1 - number
    moved = runs[0].model_copy(update={"dedup": here.dedup})
    assert run_step("dedup", moved).done == 0  # where it was worked out changes nothing


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({}, None),
        ({"SLURM_CPUS_PER_TASK": "4"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "64"}, 4),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2"}, 2),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "64"}, 3),
        ({"SLURM_JOB_ID": "7"}, 3),
    ],
)
def test_under_slurm_it_takes_the_cores_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], cores: int | None
):
    taken = list[int]()
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5})
    run = dedup.run_phases
    monkeypatch.setattr(dedup, "run_phases", partial(_noted, run, taken))
    run_step("dedup", made(tmp_path, rows_of(9, 20), workers=1))
    assert taken == [cores or 1]


def _noted(run: Callable[..., None], taken: list[int], *arguments: Any, workers: int, pairs: int) -> None:
    taken.append(workers)
    run(*arguments, workers=1, pairs=pairs)


def test_pairs_of_an_earlier_plan_are_refused_in_one_line(tmp_path: Path):
    config = made(tmp_path, rows_of(8, 60))
    shard, rows = Shard(tmp_path, 1), rows_of(8, 60)[20:40]
    for changed in (rows[:-1], rows[::-1], [{**row, "key": row["key"] + "0"} for row in rows]):
        write_pairs(shard, changed)
        with pytest.raises(UserError, match=r'00001.parquet is not of the pairs .* run "corgi download .*" first'):
            run_step("dedup", config)


def test_without_hashes_only_equal_copies_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = rows_of(9, 100)
    config = made(tmp_path, rows, scored=False, dedup={"max_caption_count": 3})
    outcome = run_step("dedup", config)
    expected = [copy for copy in by_hand(rows, distance=0, max_caption_count=3) if copy["kind"] != "near"]
    assert pq.read_table(tmp_path / duplicates.DUPLICATES).to_pylist() == expected
    assert outcome.counts.keys() == {"exact_copies", "caption_copies"}


def test_a_worker_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tasks = [phases.Task(tmp_path / name, partial(os._exit, 9)) for name in "ab"]
    with pytest.raises(UserError, match="a worker died; what is done stays: run the same command again"):
        phases.run_phases("made", [phases.Phase(tasks)], workers=2, pairs=2)
