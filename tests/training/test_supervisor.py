"""Ranks that are killed, stopped, or told to leave, and launchers that die: real processes, two ranks, gloo."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from storage.checkpoint import committed, step_of
from storage.ledger import read, read_training
from storage.run import ATTEMPTS
from tests.factory import make_run
from training.nodes import Node, Nodes
from training.run_folder import lock

from .conftest import train_afresh
from .processes import wait_for_step
from .small_training import values_of, write_config

FOREVER: dict[str, Any] = {"batch": 8, "micro_batch": 4, "processes": 2, "steps": 100_000}
FOREVER |= {"checkpoint": {"every_steps": 100_000}}
WAIT_S = 240


class Training:
    """A launcher in a process of its own, its ranks, and what they said."""

    def __init__(self, run: Path, index: Path, *before: str, arguments: tuple[str, ...] = (), **further: Any) -> None:
        self.run, self.log = run, run.with_suffix(".log")
        self.file = write_config(run.with_suffix(".configs"), values_of(run, index, **FOREVER | further))
        self.command = [*before, sys.executable, "-m", "training.launcher", str(self.file), *arguments]
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log, stdout=log)

    def reach(self, step: int) -> "Training":
        wait_for_step(self.run, step, is_alive=lambda: self.process.poll() is None)
        return self

    @property
    def ranks(self) -> list[int]:
        """Return the processes of the ranks, by their number."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            number = next((word[5:] for word in environment if word.startswith(b"RANK=")), None)
            if number is not None and str(self.file) in (folder / "cmdline").read_text() and parent != 0:
                found[int(number)] = int(folder.name)
        return [found[number] for number in sorted(found)]

    def code(self) -> int:
        return self.process.wait(WAIT_S)

    @property
    def said(self) -> str:
        return self.log.read_text()


@contextmanager
def file_system(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A file system of its own, in memory, that can be filled."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def wait_for(training: Training, holds: Callable[[], bool]) -> None:
    while not holds():
        assert training.process.poll() is None, training.said
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Training]]:
    """Start trainings that end with the test."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    index, begun = make_run(tmp_path / "data"), list[Training]()

    def started(name: str, *before: str, **further: Any) -> Training:
        begun.append(Training(tmp_path / name, index, *before, **further))
        return begun[-1]

    yield started
    for training in begun:
        training.process.kill()
        training.process.wait()


def gone(processes: list[int]) -> bool:
    """Wait until none of these processes is left."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.05)
    return False


def saved_and_left(run: Path) -> bool:
    last = read_training(run)[-1]
    return last["event"] == "stopped" and committed(run)[0].name == f"step_{last['step']:08d}"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_launcher_saves_and_leaves_with_75(start, number):
    training = start("signalled").reach(3)
    ranks = training.ranks
    assert len(ranks) == 2
    training.process.send_signal(number)
    assert training.code() == 75 and saved_and_left(training.run), training.said
    assert gone(ranks) and "Traceback" not in training.said


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_all_with_75_and_one_line(start, victim):
    training = start("killed").reach(3)
    ranks = training.ranks
    os.kill(ranks[victim], signal.SIGKILL)
    assert training.code() == 75, training.said
    told = [line for line in training.said.splitlines() if line.startswith("corgi: ")]
    assert len(told) == 1 and f"rank {victim} on " in told[0] and "was killed by SIGKILL" in told[0]
    assert "Traceback" not in training.said and "Error" not in training.said
    assert gone(ranks)


@pytest.mark.long
def test_a_stopped_rank_is_found_and_the_stacks_of_all_are_told(start):
    training = start("hung", health={"hang_min": 0.3}).reach(3)
    ranks = training.ranks
    os.kill(ranks[1], signal.SIGSTOP)
    assert training.code() == 75, training.said
    assert re.search(r"corgi: rank 1 on \S+ was stopped by a signal \(SIGSTOP\): nothing moved for 18 s", training.said)
    for rank in (0, 1):
        stacks = training.said.partition(f"stacks of rank {rank} on ")[2].partition("stacks of rank")[0]
        assert "most recent call first" in stacks and "training/trainer.py" in stacks
    assert gone(ranks)
    assert read_training(training.run)[-1]["event"] == "step"


@pytest.mark.long
def test_asked_to_leave_while_a_rank_hangs_it_does_not_wait_for_it(start):
    training = start("stuck", health={"leave_s": 2}).reach(3)
    ranks = training.ranks
    os.kill(ranks[0], signal.SIGSTOP)
    training.process.send_signal(signal.SIGTERM)
    assert training.code() == 75 and "rank 0 on " in training.said and gone(ranks), training.said


@pytest.mark.long
def test_stopped_ranks_too_die_with_a_killed_launcher(start):
    training = start("orphaned").reach(3)
    ranks = training.ranks
    os.kill(ranks[1], signal.SIGSTOP)
    training.process.kill()
    assert gone(ranks)


@pytest.mark.long
def test_as_process_1_of_a_container_it_does_the_same(start):
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this machine makes no namespaces for users")
    training = start("inside", *unshare).reach(3)
    (inside,) = subprocess.run(
        ["pgrep", "-P", str(training.process.pid)], capture_output=True, text=True
    ).stdout.split()
    os.kill(int(inside), signal.SIGTERM)
    assert training.code() == 75 and saved_and_left(training.run), training.said


@pytest.mark.long
def test_two_launchers_are_two_machines_of_one_training(start, tmp_path):
    arguments = ("--nodes", "2", "--processes", "1", "--meet", f"127.0.0.1:{free_port()}")
    first = start("both", arguments=(*arguments, "--node", "0"))
    second = start("both", arguments=(*arguments, "--node", "1"))
    first.reach(3)
    (begun,) = [line for line in read(first.run) if line["event"] == "start"]
    assert begun["world_size"] == 2
    second.process.send_signal(signal.SIGUSR1)
    assert first.code() == second.code() == 75 and saved_and_left(first.run), first.said
    for training, node in ((first, "0"), (second, "1")):
        training.command[-1] = node
        training.start()
    stopped = read(first.run)[-1]["step"]
    first.reach(stopped + 3)
    ranks = first.ranks
    os.kill(ranks[1], signal.SIGKILL)
    assert first.code() == second.code() == 75 and "rank 1 on " in first.said and gone(ranks), first.said
    assert "Traceback" not in first.said


@pytest.mark.long
def test_a_refusal_is_told_before_the_other_machines_know(start, tmp_path):
    port = free_port()
    arguments = ("--nodes", "2", "--node", "0", "--processes", "1", "--meet", f"127.0.0.1:{port}")
    with lock(tmp_path / "busy"):
        first = start("busy", arguments=arguments)
        with Nodes(Node(1, 2, "127.0.0.1", port)) as nodes:
            while (ending := nodes.ended()) is None:
                time.sleep(0.01)
            first.process.kill()  # as a cluster does as soon as one machine has left
    assert ending.code == 1 and "is being trained by another process" in first.said, first.said


@pytest.mark.long
def test_starts_that_lead_nowhere_end_with_93_and_a_person_may_try_again(start):
    training = start("nowhere", health={"restarts": 1}, log_every_steps=1)
    for _ in range(2):
        training.reach(2)
        ledger = len(read(training.run))
        os.kill(training.ranks[0], signal.SIGKILL)
        assert training.code() == 75, training.said
        assert len(read(training.run)) >= ledger
        (training.run / "ledger.jsonl").unlink()
        training.start()
    assert training.code() == 93, training.said
    assert "2 starts in a row have died at step 0 without a newer checkpoint" in training.said
    training.start()
    training.reach(2).process.terminate()
    assert training.code() == 75 and saved_and_left(training.run)
    assert not (training.run / ATTEMPTS).exists() or committed(training.run)


@pytest.mark.long
def test_a_full_disk_is_a_line_and_the_training_goes_on_or_stops(start):
    """No file may grow beyond what a rank's share needs: as on a full disk, every write of one fails half way."""
    limit = ["prlimit", "--fsize=40000"]
    going = start("going", *limit, checkpoint={"every_steps": 3}).reach(7)
    going.process.terminate()
    assert going.code() == 75 and committed(going.run) == [], going.said
    failed = [line for line in read_training(going.run) if line["event"] == "not_saved"]
    assert [line["step"] for line in failed][:2] == [3, 6] and "File too large" in failed[0]["reason"]
    assert "step 3 could not be saved (rank " in going.said and "Traceback" not in going.said
    assert [*(going.run / "checkpoints").glob("step_*")] == []
    stopping = start("stopping", *limit, checkpoint={"every_steps": 3, "on_error": "stop"})
    assert stopping.code() == 1 and "make room and run the same command again" in stopping.said, stopping.said
    assert "Traceback" not in stopping.said


@pytest.mark.long
def test_a_file_system_without_room_costs_checkpoints_and_nothing_else(start, tmp_path):
    with file_system(tmp_path / "small", megabytes=24) as folder:
        training = start("small/mine", checkpoint={"every_steps": 3}, log_every_steps=1).reach(7)
        ballast = folder / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 12)):  # to the last page: the log and the ledger have no room either
                continue
        before = training.said.count("could not be saved")
        wait_for(training, lambda: training.said.count("could not be saved") >= before + 2)
        full_at = read_training(training.run)[-1]["step"]
        ballast.unlink()
        wait_for(training, lambda: any(step_of(each) > full_at for each in committed(training.run)))
        training.process.terminate()
        assert training.code() == 75 and saved_and_left(training.run), training.said
        steps = [line["step"] for line in read_training(training.run) if line["event"] == "step"]
        assert steps == [*range(1, len(steps) + 1)] and "Traceback" not in training.said, training.said


def test_checkpoints_come_by_the_clock_too(run):
    folder, _ = run("mine", checkpoint={"every_steps": 100, "every_min": 1e-9, "keep": 9})
    assert [each.name[-1] for each in committed(folder)] == ["6", "5", "4", "3", "2", "1"]
    other, _ = run("other", checkpoint={"every_steps": 100})
    assert [each.name[-1] for each in committed(other)] == ["6"]


def test_torn_checkpoints_are_removed_at_the_start(run, capsys):
    folder, _ = run("mine")
    torn = folder / "checkpoints/step_00000005/rank_0"
    torn.mkdir(parents=True)
    (torn / "params.safetensors").write_bytes(b"half")
    assert train_afresh(folder.parent / "configs/mine/config.yaml", ["steps=7"]) == 0
    assert not torn.parent.exists() and "step_00000005 was never committed" in capsys.readouterr().err
