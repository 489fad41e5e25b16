"""Real processes: two ranks equal one, kills at the worst moments, signals, and a bad number on one rank only."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import checkpoint
from storage.checkpoint import committed, folder_of
from storage.grids import grids_of, read_grid
from storage.ledger import read_training
from storage.shard import TAR, Shard
from tests.factory import make_run

from .conftest import train_afresh
from .processes import exit_code_of, fork, wait_for_step
from .small_training import digests, events, losses, values_of, write_config

SMALL: dict[str, Any] = {"batch": 8, "micro_batch": 4, "optim": {"lr": 1e-3}}
SHAPE = SMALL | {"steps": 20, "checkpoint": {"every_steps": 10}}
FOREVER = SMALL | {"steps": 100_000}
OVERFLOWS = """
import os
if os.environ.get("RANK") == "1":
    from training.loss import DiffusionLoss
    forward, calls = DiffusionLoss.forward, []
    def poisoned(self, batch):
        calls.append(batch)
        return forward(self, batch) * (float("nan") if len(calls) == 3 else 1.0)
    DiffusionLoss.forward = poisoned
"""

DAWDLES = """
import os, time
if os.environ.get("RANK") == "1":
    from training.data.loader import Loader
    batch = Loader.batch
    def slow(self, positions):
        time.sleep(1)
        return batch(self, positions)
    Loader.batch = slow
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a pipeline's run, for trainings beside it."""
    folder = tmp_path_factory.mktemp("home")
    make_run(folder / "data")
    return folder


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal sums need equal threads: the ranks have what this process has."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def file_of(home: Path, name: str, **further: Any) -> Path:
    return write_config(home / "configs" / name, values_of(home / name, home / "data/index.parquet", **further))


def trained(home: Path, name: str, **further: Any) -> Path:
    """Train to the end: one process is this one, several are its children."""
    assert train_afresh(file_of(home, name, **further)) == 0
    return home / name


def from_step_10(run: Path, name: str) -> None:
    """Copy a training as it was at step 10."""
    shutil.copytree(run, run.parent / name)
    shutil.rmtree(folder_of(run.parent / name, 20))


def test_two_processes_train_as_one_and_tell_each_other_what_they_met(tmp_path):
    make_run(tmp_path / "data")
    Shard(tmp_path / "data", 1).path(TAR).unlink()
    further = SMALL | {
        "steps": 3,
        "validation": {"every_steps": 3, "samples": 4, "buckets": 2, "grid": 3, "grid_steps": 2},
    }
    alone = trained(tmp_path, "alone", **further)
    both = trained(tmp_path, "both", processes=2, **further)
    np.testing.assert_allclose(losses(both), losses(alone), rtol=1e-5)
    assert len(losses(both)) == 3 and len([*folder_of(both, 3).glob("rank_*")]) == 2
    bad = [{line["position"]: line["instead"] for line in events(run, "bad_image")} for run in (alone, both)]
    assert bad[0] and bad[0] == bad[1]
    for split in ("train", "held_out"):
        gaps = [events(run, "validation")[0][split]["gap"] for run in (alone, both)]
        np.testing.assert_allclose(gaps[1], gaps[0], atol=1e-5)
    grids = [grids_of(run) for run in (alone, both)]
    assert grids[0][0]._replace(path=grids[1][0].path) == grids[1][0] and len(grids[0][0].captions) == 3
    images = [read_grid(grid).astype(int) for (grid,) in grids]
    assert np.abs(images[1] - images[0]).max() <= 1  # the weights differ by rounding
    (begun,) = events(both, "start")
    assert (begun["world_size"], begun["zero"]) == (2, 1)


@pytest.fixture(scope="module")
def alone(home: Path) -> Path:
    """Train 20 steps in one process."""
    return trained(home, "alone", **SHAPE)


@pytest.fixture(scope="module")
def both(home: Path) -> Path:
    """Train the same in two processes with ZeRO-1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return trained(home, "both", processes=2, zero=1, **SHAPE)


@pytest.mark.long
def test_two_processes_with_zero_equal_one_over_20_steps(home, alone, both):
    again = trained(home, "zero2", processes=2, zero=2, **SHAPE)
    for run in (both, again):
        assert len(losses(run)) == 20
        np.testing.assert_allclose(losses(run), losses(alone), rtol=1e-5)
        assert len([*committed(run)[0].glob("rank_*")]) == 2


@pytest.mark.long
def test_two_processes_resume_with_equal_bytes(home, both):
    from_step_10(both, "resumed")
    resumed = trained(home, "resumed", processes=2, **SHAPE)
    assert digests(resumed, 20) == digests(both, 20) and losses(resumed) == losses(both)


@pytest.mark.long
def test_one_process_goes_on_from_two_and_two_from_one(home, alone, both):
    from_step_10(both, "fewer")
    np.testing.assert_allclose(losses(trained(home, "fewer", processes=1, **SHAPE)), losses(both), rtol=1e-5)
    from_step_10(alone, "more")
    np.testing.assert_allclose(losses(trained(home, "more", processes=2, zero=2, **SHAPE)), losses(alone), rtol=1e-5)


def die_at(function: str, name: str) -> None:
    """Let this process be killed where step 6 writes this file of its checkpoint."""
    write: Callable[..., None] = getattr(checkpoint, function)

    def dies(path: Path, value: Any) -> None:
        if path.name == name and "step_00000006" in f"{path} {value}":
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, value)

    setattr(checkpoint, function, dies)


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "name"),
    [("commit_json", "manifest.json"), ("commit_json", "COMMIT.json"), ("commit_text", "latest")],
)
def test_killed_during_a_save_it_goes_on_from_a_whole_checkpoint(home, function, name):
    further = {"steps": 9, "checkpoint": {"every_steps": 3}}
    if not (home / "unbroken").exists():
        trained(home, "unbroken", **further)
    killed = home / f"before-{name}"
    file = file_of(home, killed.name, **further)
    assert exit_code_of(fork(file, before=partial(die_at, function, name))) == -signal.SIGKILL
    whole = [folder.name for folder in committed(killed)]
    assert whole == (["step_00000003"] if name != "latest" else ["step_00000006", "step_00000003"])
    assert (killed / "checkpoints/latest").read_text() == "step_00000003\n"
    assert train_afresh(file) == 0
    (restart,) = events(killed, "restart")
    assert restart["step"] == int(whole[0][-1])
    assert digests(killed, 9) == digests(home / "unbroken", 9) and losses(killed) == losses(home / "unbroken")


@pytest.mark.long
def test_killed_anywhere_it_ends_with_the_same_bytes(home):
    further: dict[str, Any] = {"steps": 60, "checkpoint": {"every_steps": 10}}
    further |= {"data": {"index": str(home / "data/index.parquet"), "workers": 2}}
    whole, file = trained(home, "whole", **further), file_of(home, "killed", **further)
    for step in (7, 33):
        process = fork(file)
        wait_for_step(home / "killed", step, is_alive=process.is_alive)
        process.kill()
        assert exit_code_of(process) == -signal.SIGKILL
    assert train_afresh(file) == 0
    assert digests(home / "killed", 60) == digests(whole, 60)
    assert losses(home / "killed") == losses(whole)


def saved_and_left(run: Path) -> bool:
    """Tell whether a training stopped early, and saved at the step where it did."""
    last = read_training(run)[-1]
    return last["event"] == "stopped" and committed(run)[0].name == f"step_{last['step']:08d}"


@pytest.mark.long
def test_a_signal_saves_and_leaves_with_75(home):
    process = fork(file_of(home, "signalled", **FOREVER))
    wait_for_step(home / "signalled", 4, is_alive=process.is_alive)
    process.terminate()
    assert exit_code_of(process) == 75 and saved_and_left(home / "signalled")


@pytest.mark.long
def test_a_bad_number_on_one_rank_skips_the_step_on_all(home, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(OVERFLOWS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd()}")
    run = trained(home, "hurt", **SMALL | {"micro_batch": 2, "processes": 2, "steps": 6})
    (bad,) = events(run, "bad_step")
    assert bad["step"] == 2 and bad["positions"] == [10, 11] and len(bad["keys"]) == 2
    assert len(losses(run)) == 5


@pytest.mark.long
def test_a_slow_rank_is_named(home, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(DAWDLES)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd()}")
    run = trained(home, "dawdling", **SMALL | {"processes": 2, "steps": 3})
    lines = events(run, "straggler")
    assert {(line["rank"], line["section"]) for line in lines} >= {(1, "data")}
    assert all(line["seconds"] >= 1 and line["node"] for line in lines if line["section"] == "data")


@pytest.mark.long
def test_an_error_for_people_on_one_rank_ends_all_with_its_code(home, capfd):
    make_run(home / "holes")
    Shard(home / "holes", 0).path(TAR).unlink()
    data = {"index": str(home / "holes/index.parquet"), "bad_images": 2, "workers": 0}
    assert train_afresh(file_of(home, "holed", **SMALL | {"processes": 2, "data": data})) == 1
    assert "corgi: more than data.bad_images = 2 images cannot be used" in capfd.readouterr().err


@pytest.mark.long
def test_under_torchrun_it_is_a_rank(home, both):
    file = file_of(home, "torchrun", processes=2, **SHAPE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, "-m", "training.launcher", str(file)], check=True, timeout=600)
    assert digests(home / "torchrun", 20) == digests(both, 20)
    assert (home / "torchrun/config.yaml").exists()
