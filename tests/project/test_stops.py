"""What asks `corgi run` to stop reaches the command that runs; no further one is begun, and the same again goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from configs import UserError
from project.files import Project
from project.run import INTERRUPTED, STOPPED, Whole, call
from storage import ledger
from storage.checkpoint import committed, step_of
from tests.factory import make_run
from tests.training.small_training import values_of

STEPS = 100_000  # more than it ever takes
SLEEPER = "import time; print('at work', flush=True); time.sleep(600)"


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """The YAML of a stage whose index is there, and which would train for hours."""
    values = values_of(
        tmp_path / "base16", make_run(tmp_path / "pairs"), steps=STEPS, checkpoint={"every_steps": STEPS}
    )
    (tmp_path / "base16.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "base16.yaml"


def run_until_steps(stage: Path, act: Callable[[subprocess.Popen[bytes]], None]) -> tuple[int, str]:
    """Type `corgi run`, act once it has trained two steps; return the exit code and what was said."""
    log, run = stage.with_suffix(".log"), stage.with_suffix("")
    before = len(ledger.read(run))
    with log.open("wb") as out:
        words = [sys.executable, "-m", "corgi", "run", str(stage)]
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    while sum(line["event"] == "step" for line in ledger.read(run)[before:]) < 2:
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    act(process)
    return process.wait(), log.read_text()


@pytest.mark.long
def test_a_training_saves_leaves_and_is_gone_on_with(stage: Path):
    last = 0
    for act, code in (
        (lambda process: process.send_signal(signal.SIGTERM), STOPPED),
        (lambda process: os.killpg(process.pid, signal.SIGINT), INTERRUPTED),  # as a terminal's Ctrl-C
        (lambda process: process.send_signal(signal.SIGUSR1), STOPPED),
    ):
        ended, said = run_until_steps(stage, act)
        assert ended == code and "Traceback" not in said, said
        if code == STOPPED:
            assert f"corgi: stopped, as asked; `corgi run {stage}` goes on from there" in said
            saved = step_of(committed(stage.with_suffix(""))[0])
            assert saved > last
            last = saved


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_training_that_is_still_loading_leaves_too(stage: Path, number: int):
    command = [sys.executable, "-m", "corgi", "train", str(stage)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while "/torch/lib/" not in Path(f"/proc/{process.pid}/maps").read_text():  # the rest of it takes seconds
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
        assert process.wait() == STOPPED


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, STOPPED), (signal.SIGINT, INTERRUPTED)])
def test_a_command_that_knows_of_no_stop_ends_too_and_says_so_in_its_code(number: int, code: int):
    program = f"""
import sys
from project import run
run.PATIENCE_S = 0.1
sys.exit(run.call([sys.executable, "-c", {SLEEPER!r}]))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "at work\n"
        process.send_signal(number)
        assert process.wait() == code
        assert process.stdout.read() == ""  # the child is gone, too: nobody holds the pipe


def test_a_command_that_was_not_asked_keeps_its_code():
    assert call([sys.executable, "-c", "raise SystemExit(3)"]) == 3


def test_between_two_commands_a_stop_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = Whole(Project(), typed="corgi run mine")
    monkeypatch.setattr(Whole, "_go", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(UserError, match="stopped, as asked; `corgi run mine` goes on") as caught:
        whole.go()
    assert caught.value.exit_code == STOPPED and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
