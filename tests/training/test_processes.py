"""Real processes: two ranks equal one, kills at the worst moments, signals, and a bad number on one rank only."""

import os
import shutil
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
SMALL: dict[str, Any] = {"batch": 8, "micro_batch": 4, "optim": {"lr": 1e-3}}
SHAPE = SMALL | {"steps": 20, "checkpoint": {"every_steps": 10}}
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline's run, and trainings beside it: one, two."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "data")
    return folder


def file_of(made: Path, name: str, **further: Any) -> Path:
    return write_config(made / "configs" / name, values_of(made / name, made / "data/index.parquet", **further))


def start(made: Path, name: str, *, patch: str = "", **further: Any) -> subprocess.Popen:
    """A training in processes of its own; `patch` is run in each that trains before anything else."""
    environment = {**ENVIRONMENT, "TRAINS": "1"} if further.get("processes", 1) == 1 else dict(ENVIRONMENT)
    if patch:
        home = made / f"patch-{name}"
        home.mkdir()
        lines = [f"    {line}" for line in patch.splitlines()]
        (home / "sitecustomize.py").write_text(
            "\n".join(["import os, signal", "if {'RANK', 'TRAINS'} & {*os.environ}:", *lines])
        )
        environment["PYTHONPATH"] = f"{home}{os.pathsep}{Path.cwd()}"
    command = [sys.executable, "-m", "training.launch", str(file_of(made, name, **further))]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def trained(made: Path, name: str, *, code: int = 0, **further: Any) -> Path:
    process = start(made, name, **further)
    _, said = process.communicate(timeout=600)
    assert process.returncode == code, said
    return made / name


def wait_for_step(run: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if any(line["event"] == "step" and line["step"] >= step for line in ledger.read(run)):
            return
        time.sleep(0.05)
    raise AssertionError(f"step {step} never came; exit code {process.poll()}")


def from_step_10(run: Path, name: str) -> None:
    """A copy of a training that got no further than step 10."""
    shutil.copytree(run, run.parent / name)
    shutil.rmtree(checkpoint.folder_of(run.parent / name, 20))


@pytest.fixture(scope="module")
def one(made: Path) -> Path:
    """20 steps in one process."""
    return trained(made, "one", **SHAPE)


@pytest.fixture(scope="module")
def two(made: Path) -> Path:
    """The same in two processes with ZeRO-1."""
    return trained(made, "two", processes=2, zero=1, **SHAPE)


@pytest.mark.long
def test_two_processes_with_zero_equal_one_over_20_steps(made, one, two):
    again = trained(made, "zero2", processes=2, zero=2, **SHAPE)
    for run in (two, again):
        assert len(losses(run)) == 20
        np.testing.assert_allclose(losses(run), losses(one), rtol=1e-5)
        assert len(list(checkpoint.committed(run)[0].glob("rank_*"))) == 2


@pytest.mark.long
def test_two_processes_resume_with_equal_bytes(made, two):
    from_step_10(two, "resumed")
    resumed = trained(made, "resumed", processes=2, **SHAPE)
    assert digests(resumed, 20) == digests(two, 20) and losses(resumed) == losses(two)


@pytest.mark.long
def test_one_process_goes_on_from_two_and_two_from_one(made, one, two):
    from_step_10(two, "fewer")
    np.testing.assert_allclose(losses(trained(made, "fewer", processes=1, **SHAPE)), losses(two), rtol=1e-5)
    from_step_10(one, "more")
    np.testing.assert_allclose(losses(trained(made, "more", processes=2, zero=2, **SHAPE)), losses(one), rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "name"),
    [("commit_json", "manifest.json"), ("commit_json", "COMMIT.json"), ("commit_bytes", "latest")],
)
def test_killed_during_a_save_it_goes_on_from_a_whole_checkpoint(made, train, function, name):
    further = {"steps": 9, "checkpoint": {"every_steps": 3}}
    if not (made / "unbroken").exists():
        train(file_of(made, "unbroken", **further))
    patch = DIES.format(function=function, name=name)
    killed = trained(made, f"before-{name}", code=-signal.SIGKILL, patch=patch, **further)
    whole = [folder.name for folder in checkpoint.committed(killed)]
    assert whole == (["step_00000003"] if name != "latest" else ["step_00000006", "step_00000003"])
    assert (killed / "checkpoints/latest").read_text() == "step_00000003\n"
    assert train(file_of(made, killed.name, **further)) == 0
    restart = [line for line in ledger.read(killed) if line["event"] == "restart"]
    assert [line["step"] for line in restart] == [int(whole[0][-1])]
    assert digests(killed, 9) == digests(made / "unbroken", 9) and losses(killed) == losses(made / "unbroken")


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_signals_save_and_leave_with_75(made, processes):
    name = f"signalled{processes}"
    process = start(made, name, **SMALL | {"processes": processes, "steps": 100_000})
    wait_for_step(made / name, 4, process)
    process.send_signal(signal.SIGTERM if processes == 1 else signal.SIGUSR1)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 75, said
    last = ledger.read(made / name)[-1]
    assert last["event"] == "stopped"
    assert checkpoint.committed(made / name)[0].name == f"step_{last['step']:08d}"


@pytest.mark.long
def test_a_bad_number_on_one_rank_skips_the_step_on_all(made):
    run = trained(made, "hurt", patch=OVERFLOWS, **SMALL | {"micro_batch": 2, "processes": 2, "steps": 6})
    (bad,) = [line for line in ledger.read(run) if line["event"] == "bad_step"]
    assert bad["step"] == 2 and bad["positions"] == [10, 11] and len(bad["keys"]) == 2
    assert len(losses(run)) == 5


@pytest.mark.long
def test_killed_anywhere_it_ends_with_the_same_bytes(made, train):
    further: dict[str, Any] = {"steps": 60, "checkpoint": {"every_steps": 10}}
    further |= {"data": {"index": str(made / "data/index.parquet"), "workers": 2}}
    train(file_of(made, "whole", **further))
    for step in (7, 33):
        process = start(made, "killed", **further)
        wait_for_step(made / "killed", step, process)
        process.kill()
        process.communicate()
    assert train(file_of(made, "killed", **further)) == 0
    assert digests(made / "killed", 60) == digests(made / "whole", 60)
    assert losses(made / "killed") == losses(made / "whole")


@pytest.mark.long
def test_an_error_for_people_on_one_rank_ends_all_with_its_code(made):
    make_run(made / "holes")
    (made / "holes/000/00000.tar").unlink()
    data = {"index": str(made / "holes/index.parquet"), "bad_pictures": 2, "workers": 0}
    process = start(made, "holed", **SMALL | {"processes": 2, "data": data})
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "corgi: more than data.bad_pictures = 2 pictures cannot be used" in said


@pytest.mark.long
def test_children_die_with_a_killed_launcher(made):
    process = start(made, "orphaned", **SMALL | {"processes": 2, "steps": 100_000})
    wait_for_step(made / "orphaned", 2, process)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) >= 2
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.long
def test_under_torchrun_it_is_a_rank(made, two):
    file = file_of(made, "torchrun", **SHAPE | {"processes": 2})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, "-m", "training.launch", str(file)], env=ENVIRONMENT, check=True, timeout=600)
    assert digests(made / "torchrun", 20) == digests(two, 20)
    assert (made / "torchrun/config.yaml").exists()
