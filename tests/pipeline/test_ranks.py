"""Which share a process takes: typed, or as what started it says; and the same bytes whoever says so."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs import UserError, dump, fingerprint, fingerprints
from pipeline.ranks import ranks_of, whole_run
from pipeline.runner import run_step
from storage.ledger import read
from tests.factory import downloaded, through

ROOT = Path(__file__).parents[2]
ARRAY = {f"SLURM_ARRAY_TASK_{name}": value for name, value in zip(["MIN", "MAX", "STEP", "COUNT"], "1712", strict=True)}
ARRAY |= {"SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "4"}  # --array=1-7:2
TORCHRUN = {"RANK": "5", "WORLD_SIZE": "6"}


@pytest.mark.parametrize(
    ("typed", "environment", "share", "source"),
    [
        ((None, None), {}, (0, 1), ""),
        ((3, 8), {**TORCHRUN, "JOB_COMPLETION_INDEX": "1"}, (3, 8), ""),
        ((None, None), TORCHRUN, (5, 6), "RANK and WORLD_SIZE"),
        ((None, None), {**TORCHRUN, **ARRAY, "SLURM_ARRAY_TASK_ID": "3"}, (5, 6), "RANK and WORLD_SIZE"),
        ((None, 4), {"JOB_COMPLETION_INDEX": "2"}, (2, 4), "JOB_COMPLETION_INDEX"),
        ((None, None), {**ARRAY, "SLURM_ARRAY_TASK_ID": "5"}, (2, 4), "SLURM_ARRAY_TASK_ID"),
        ((None, 64), {**ARRAY, "SLURM_ARRAY_TASK_ID": "17"}, (17, 64), "SLURM_ARRAY_TASK_ID"),
        ((None, 4), {}, (0, 4), ""),
        ((None, None), {"RANK": "5"}, (0, 1), ""),
    ],
)
def test_the_first_that_says_so_is_taken(typed, environment, share, source):
    ranks = ranks_of(*typed, environment=environment)
    assert (ranks.rank, ranks.world_size) == share and ranks.source == source
    assert ranks_of(None, None, environment=whole_run(environment)) == (0, 1, "")


@pytest.mark.parametrize(
    ("typed", "environment", "said"),
    [
        ((3, None), {}, "--rank 3 of how many"),
        ((None, None), {"JOB_COMPLETION_INDEX": "2"}, "give the job's `completions` as --world-size"),
        ((None, 4), {"JOB_COMPLETION_INDEX": "two"}, "JOB_COMPLETION_INDEX is 'two' in the environment"),
        ((None, None), {**ARRAY, "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "3"}, "with gaps: which share"),
        ((None, None), {"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN is ''"),
    ],
)
def test_half_of_it_is_refused(typed, environment, said):
    with pytest.raises(UserError, match=said):
        ranks_of(*typed, environment=environment)


def test_fingerprints_of_many_are_those_of_each():
    ended_by = fingerprints("a", 1, {"b": [2, None]})
    many: list[list[Any]] = [[None], ["x", {"ü": 1.5}], [[]]]
    for further in many:
        assert ended_by(*further) == fingerprint("a", 1, {"b": [2, None]}, *further)


@pytest.mark.long
def test_an_indexed_job_makes_the_bytes_of_one_process(tmp_path: Path):
    rows = [{"seed": n, "caption": f"picture number {n}"} for n in range(20)]
    alone, job = (downloaded(tmp_path / name, rows, shard_size=4) for name in ("alone", "job"))
    for config in (alone, job):
        through(config, "score", "dedup")
    run_step("select", alone, workers=1)
    file = tmp_path / "pipeline.yaml"
    file.write_text(dump(job))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "corgi", "select", str(file), "--world-size", "2"]
    for index in "01":
        done = subprocess.run(
            command, env={**environment, "JOB_COMPLETION_INDEX": index}, capture_output=True, text=True, check=True
        )
        assert f"select: rank {index} of 2, as JOB_COMPLETION_INDEX says\n" in done.stderr
    made = {file.name: file.read_bytes() for file in alone.run.glob("0*/*.keep.parquet")}
    assert len(made) == 5 and made == {file.name: file.read_bytes() for file in job.run.glob("0*/*.keep.parquet")}
    assert [line["made"] for line in read(job.run) if line["event"] == "step" and line["step"] == "select"] == [3, 2]
