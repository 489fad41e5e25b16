"""A real training over two nodes of a real SLURM: told to leave, and robbed of a rank, it goes on where it saved."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import resolve
from slurm.config import ChainConfig
from slurm.render import render
from slurm.script import Place
from storage.checkpoint import committed
from storage.ledger import read, read_training
from tests.factory import make_run
from tests.training.small_training import values_of, write_config

from .cluster import Cluster, wait_for

pytestmark = pytest.mark.long
WAIT_S = 240


@pytest.fixture
def job(tmp_path: Path, cluster: Cluster) -> Iterator[tuple[str, Path]]:
    """Submit the training's own job; return its id and the training's folder."""
    run, index = tmp_path / "train", make_run(tmp_path / "data")
    shape: dict[str, Any] = {"batch": 8, "micro_batch": 4, "steps": 100_000, "checkpoint": {"every_steps": 5}}
    file = write_config(tmp_path / "base16", values_of(run, index, **shape)).rename(tmp_path / "base16.yaml")
    house = Path(__file__).parents[2]
    own = {"PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"}
    values: dict[str, Any] = {
        "pipeline": str(tmp_path / "pipeline.yaml"),
        "train": [str(file)],
        "run": str(tmp_path / "chain"),
    }
    values |= {
        "slurm": {
            "arrays": "asked",
            "env": own,
            "cpus": 1,
            "train": {"nodes": 2, "hosts": "one", "processes_per_node": 1},
        }
    }
    place = Place(file=tmp_path / "chain.yaml", cwd=tmp_path, python=Path(sys.executable))
    (training,) = (job for job in render(resolve(ChainConfig, values), place) if job.name == "train-base16")
    (tmp_path / "chain/slurm/exits").mkdir(parents=True)
    (tmp_path / "job.sbatch").write_text(training.script)
    number = cluster.run("sbatch", "--parsable", tmp_path / "job.sbatch", cwd=tmp_path).strip()
    yield number, run
    cluster.run("scancel", number, check=False)
    cluster.wait_until_empty()


def ranks(file: Path) -> list[int]:
    """Return the processes of the ranks that train by this config."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = str(file) in (folder / "cmdline").read_text()
            if is_ours and b"\0CORGI_LAUNCHER=" in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_told_to_leave_and_robbed_of_a_rank_it_goes_on_and_no_step_is_lost_or_told_twice(job, cluster, tmp_path):
    number, run = job

    def log() -> str:
        return "\n".join(file.read_text() for file in (tmp_path / "chain/slurm").glob("*.out"))

    def reached(starts: int, further: int) -> bool:
        lines = read(run)
        began = [line["step"] for line in lines if line["event"] in ("start", "restart")]
        steps = [line["step"] for line in lines if line["event"] == "step"]
        return len(began) == starts and bool(steps) and steps[-1] >= began[-1] + further

    wait_for(lambda: reached(1, 7), timeout_s=WAIT_S, what="the first steps")
    cluster.run("scancel", "--signal=USR1", f"{number}.0")
    wait_for(lambda: reached(2, 7), timeout_s=WAIT_S, what="steps after it was told to leave")
    lines = read(run)
    (stopped,) = (line for line in lines if line["event"] == "stopped")
    assert [line["step"] for line in lines if line["event"] == "restart"] == [stopped["step"]], log()
    os.kill(ranks(tmp_path / "base16.yaml")[0], signal.SIGKILL)
    wait_for(lambda: reached(3, 7), timeout_s=WAIT_S, what="steps after a rank was killed")
    assert "was killed by SIGKILL" in log() and "Traceback" not in log()
    marks = (tmp_path / f"chain/slurm/exits/{number}.log").read_text().split("\n")
    assert [line.split()[1:3] for line in marks if line][:4] == [
        ["started", "0"],
        ["75", "0"],
        ["started", "1"],
        ["75", "1"],
    ]
    steps = [line["step"] for line in read_training(run) if line["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1)) and len(committed(run)) == 2
    assert all(line["world_size"] == 2 for line in read(run) if line["event"] in ("start", "restart"))
