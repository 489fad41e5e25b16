"""Real processes: two ranks equal one, kills at the worst moments, signals, and a bad number on one rank only."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import checkpoint, ledger

from .making import digests, losses, make_run, values_of, write_config

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SHAPE: dict[str, Any] = {
    "steps": 20,
    "batch": 8,
    "micro_batch": 4,
    "checkpoint": {"every_steps": 10},
    "optim": {"lr": 1e-3},
}
OVERFLOWS = """
from training.objective import Objective
forward, calls = Objective.forward, []
def poisoned(self, batch):
    calls.append(batch)
    hurt = os.environ["RANK"] == "1" and len(calls) == 3
    return forward(self, batch) * (float("nan") if hurt else 1.0)
Objective.forward = poisoned
"""
DIES = """
from training import checkpoint
write = checkpoint.{function}
def dies(path, *arguments):
    at_six = "step_00000006" in str(path) or "step_00000006" in str(arguments)
    if at_six and path.name == "{name}":
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, *arguments)
checkpoint.{function} = dies
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return make_run(tmp_path / "data")


def start(tmp_path: Path, index: Path, name: str, *, patch: str = "", **further: Any) -> subprocess.Popen:
    """A training in processes of its own; `patch` is run in each of them first."""
    file = write_config(tmp_path / "configs" / name, values_of(tmp_path / name, index, **further))
    environment = dict(ENVIRONMENT)
    if patch:  # also in the children of the agent
        (tmp_path / "patch").mkdir(exist_ok=True)
        lines = "import os, signal\nif 'RANK' in os.environ or 'ALONE' in os.environ:\n"
        lines += "\n".join(f"    {line}" for line in patch.splitlines())
        (tmp_path / "patch/sitecustomize.py").write_text(lines)
        environment |= {"PYTHONPATH": str(tmp_path / "patch")}
        environment |= {"ALONE": "1"} if further.get("processes", 1) == 1 else {}
    command = [sys.executable, "-m", "training.launch", str(file)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def trained(tmp_path: Path, index: Path, name: str, *, code: int = 0, **further: Any) -> Path:
    process = start(tmp_path, index, name, **further)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    return tmp_path / name


def wait_for_step(run: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if any(line["event"] == "step" and line["step"] >= step for line in ledger.read(run)):
            return
        time.sleep(0.05)
    raise AssertionError(f"step {step} never came; exit code {process.poll()}")


@pytest.mark.long
def test_two_processes_with_zero_equal_one_over_20_steps(tmp_path, index):
    one = trained(tmp_path, index, "one", **SHAPE)
    for zero in (1, 2):
        two = trained(tmp_path, index, f"two{zero}", processes=2, zero=zero, **SHAPE)
        assert len(losses(two)) == 20
        np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)
        assert len(list(checkpoint.committed(two)[0].glob("rank_*"))) == 2


@pytest.mark.long
def test_two_processes_resume_with_equal_bytes_and_one_goes_on_from_two(tmp_path, index):
    unbroken = trained(tmp_path, index, "unbroken", processes=2, **SHAPE)
    trained(tmp_path, index, "resumed", processes=2, **SHAPE | {"steps": 10})
    resumed = trained(tmp_path, index, "resumed", processes=2, **SHAPE)
    assert digests(resumed, 20) == digests(unbroken, 20)
    trained(tmp_path, index, "fewer", processes=2, **SHAPE | {"steps": 10})
    fewer = trained(tmp_path, index, "fewer", processes=1, **SHAPE)
    np.testing.assert_allclose(losses(fewer), losses(unbroken), rtol=1e-5)
    trained(tmp_path, index, "more", processes=1, **SHAPE | {"steps": 10})
    more = trained(tmp_path, index, "more", processes=2, zero=2, **SHAPE)
    np.testing.assert_allclose(losses(more), losses(unbroken), rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "name"),
    [("commit_json", "manifest.json"), ("commit_json", "COMMIT.json"), ("commit_bytes", "latest")],
)
def test_killed_during_a_save_it_goes_on_from_a_whole_checkpoint(tmp_path, index, function, name):
    further: dict[str, Any] = {"steps": 9, "checkpoint": {"every_steps": 3}}
    unbroken = trained(tmp_path, index, "unbroken", **further)
    patch = DIES.format(function=function, name=name)
    killed = trained(tmp_path, index, "killed", code=-signal.SIGKILL, patch=patch, **further)
    whole = [folder.name for folder in checkpoint.committed(killed)]
    assert whole == ["step_00000003"] if name != "latest" else ["step_00000006", "step_00000003"]
    assert (killed / "checkpoints/latest").read_text() == "step_00000003\n"
    trained(tmp_path, index, "killed", **further)
    restart = [line for line in ledger.read(killed) if line["event"] == "restart"]
    assert [line["step"] for line in restart] == [int(whole[0][-1])]
    assert digests(killed, 9) == digests(unbroken, 9) and losses(killed) == losses(unbroken)


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_signals_save_and_leave_with_75(tmp_path, index, processes):
    further: dict[str, Any] = {"processes": processes, "steps": 4000, "batch": 8, "micro_batch": 4}
    process = start(tmp_path, index, "mine", **further)
    wait_for_step(tmp_path / "mine", 4, process)
    process.send_signal(signal.SIGTERM if processes == 1 else signal.SIGUSR1)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    last = ledger.read(tmp_path / "mine")[-1]
    assert last["event"] == "stopped"
    assert checkpoint.committed(tmp_path / "mine")[0].name == f"step_{last['step']:08d}"


@pytest.mark.long
def test_a_bad_number_on_one_rank_skips_the_step_on_all(tmp_path, index):
    further: dict[str, Any] = {
        "processes": 2,
        "batch": 8,
        "micro_batch": 2,
        "steps": 6,
        "checkpoint": {"every_steps": 6},
    }
    run = trained(tmp_path, index, "mine", patch=OVERFLOWS, **further)
    (bad,) = [line for line in ledger.read(run) if line["event"] == "bad_step"]
    assert bad["step"] == 2 and bad["positions"] == [10, 11] and len(bad["keys"]) == 2
    assert len(losses(run)) == 5


@pytest.mark.long
def test_killed_anywhere_it_ends_with_the_same_bytes(tmp_path, index):
    further: dict[str, Any] = {
        "steps": 400,
        "checkpoint": {"every_steps": 25},
        "data": {"index": str(index), "workers": 2},
    }
    unbroken = trained(tmp_path, index, "unbroken", **further)
    for step in (30, 90, 230):
        process = start(tmp_path, index, "killed", **further)
        wait_for_step(tmp_path / "killed", step, process)
        process.kill()
        process.communicate()
    killed = trained(tmp_path, index, "killed", **further)
    assert digests(killed, 400) == digests(unbroken, 400) and losses(killed) == losses(unbroken)
