"""W&B over the network: from where it stands, through kills, and without harm where it is out of order."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from storage import ledger
from storage.run import MIRROR_LOG, write_config
from tests.factory import config_for
from tests.training.conftest import index, run, train  # noqa: F401  # fixtures
from tests.training.processes import exit_code_of, fork, wait_for_step
from tests.training.small_training import losses, values_of
from tests.training.small_training import write_config as write_yaml
from tracking.sources import run_id
from tracking.sync import sync

from .fake_wandb import serving

WAIT_S = 120


@pytest.fixture(autouse=True)
def client(monkeypatch, tmp_path):
    """Give W&B's client a key of nobody, no account of who runs the tests, and little patience."""
    for name, value in {"API_KEY": "0" * 40, "CONFIG_DIR": str(tmp_path / "none"), "INIT_TIMEOUT": "2"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "20")


@pytest.fixture
def noted(tmp_path):
    """Make a run whose download was called once."""
    config = config_for(tmp_path)
    write_config(config.run, config, fingerprint="made")
    note_downloaded(config.run, ok=3)
    return config.run


def note_downloaded(folder, **counts):
    ledger.note(folder, event="step", step="download", seconds=2.0, counts=counts)


@pytest.fixture
def mirrors(monkeypatch):
    """Note the processes that are started beside trainings of this process."""
    started, popen = [], subprocess.Popen

    def noting(words, **how):
        process = popen(words, **how)
        started.extend([process] if "sync" in words else [])
        return process

    monkeypatch.setattr(subprocess, "Popen", noting)
    yield started
    for process in started:
        process.kill()
        process.wait()


def until(holds):
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


@pytest.mark.long
def test_each_line_is_sent_once(run, monkeypatch):  # noqa: F811
    folder, _ = run("mine")
    with serving() as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        (first,) = sync(folder, to="wandb", offline=False)
        assert first.is_complete, first
        run("mine", "steps=8")
        (again,) = sync(folder, to="wandb", offline=False)
        (none,) = sync(folder, to="wandb", offline=False)
    rows = [row for row in fake.history(run_id(folder)) if "step/loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert again.is_complete and none.lines[0].startswith("base16: nothing new after")


@pytest.mark.long
@pytest.mark.parametrize("mood", ["hangs", "fails", "closes"])
def test_a_server_out_of_order_is_a_line_and_loses_nothing(noted, monkeypatch, mood):
    """What became of a sync is a line; once the server is well, the next sync sends all."""
    with serving(mood) as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        (told,) = sync(noted, to="wandb", offline=False)
        assert not told.is_complete and told.lines[0].endswith("nothing is lost, sync again"), told
        assert fake.requests and not fake.streams
        fake.mood = "well"
        fake.over.set()
        (told,) = sync(noted, to="wandb", offline=False)
        assert told.is_complete, told
    assert [row["counts/ok"] for row in fake.history(f"{run_id(noted)}-download")] == [3]


@pytest.mark.long
def test_a_training_knows_nothing_of_a_mirror_that_hangs(run, mirrors, monkeypatch):  # noqa: F811
    with serving("hangs") as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        folder, code = run("mine", wandb={"mode": "online"})
        assert code == 0 and len(losses(folder)) == 6
        until(lambda: fake.requests)
        mirrors[0].kill()
    assert len(mirrors) == 1 and (folder / MIRROR_LOG).exists()


@pytest.mark.long
def test_kills_of_trainings_and_of_mirrors_leave_each_step_once(tmp_path, index, monkeypatch):  # noqa: F811
    """A training is killed, then its mirror while it goes on; one more sync, and W&B has each step of one run once."""
    folder, wandb = tmp_path / "mine", {"mode": "online"}
    file = write_yaml(tmp_path / "configs", values_of(folder, index, steps=40, wandb=wandb))
    with serving() as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        first = fork(file)
        wait_for_step(folder, 10, is_alive=first.is_alive)
        first.kill()
        first.join()
        until(lambda: any("step/loss" in row for row in fake.history(run_id(folder))))
        second = fork(file)
        until(lambda: len(mirrors_of(folder)) > 0)
        for process in mirrors_of(folder):
            os.kill(process, signal.SIGKILL)
        assert exit_code_of(second) == 0
        until(lambda: not mirrors_of(folder))
        (told,) = sync(folder, to="wandb", offline=False)
    assert told.is_complete and [*fake.runs] == [run_id(folder)]
    rows = [row for row in fake.history(run_id(folder)) if "step/loss" in row]
    assert [row["step"] for row in rows] == [*range(1, 41)]
    assert {line["event"] for line in ledger.read(folder)} >= {"start", "restart", "done"}


def mirrors_of(folder):
    """Return the processes that sync a folder beside a training."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"sync" in words and str(folder).encode() in words:
                found.append(int(path.parent.name))
    return found
