"""A lease has one holder that is alive; whoever was given up writes nothing more."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from configs import UserError
from storage import lease
from storage.atomic import commit_bytes
from storage.lease import Key, hold

HOLDER = """
import sys, time
from pathlib import Path
from storage.atomic import commit
from storage.lease import Key, hold
run, step = Path(sys.argv[1]), sys.argv[2]
def write(scratch):
    scratch.write_bytes(b"by the first")
    print("held", flush=True)
    while not (run / "go").exists():
        time.sleep(0.01)
with hold(run, Key(step)):
    commit(run / "made", write)
"""


@contextmanager
def holder(run: Path, step: str = "score") -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lease and is about to commit a file, until there is a file `go`."""
    command = [sys.executable, "-c", HOLDER, str(run), step]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_is_alive_is_not_succeeded(tmp_path: Path):
    with holder(tmp_path) as first:
        with (
            pytest.raises(UserError, match=f"process {first.pid} on .* is at work on score") as error,
            hold(tmp_path, Key("score")),
        ):
            pass
        assert error.value.exit_code == 1
        (tmp_path / "go").touch()
        assert first.wait() == 0
    assert (tmp_path / "made").read_bytes() == b"by the first"
    with hold(tmp_path, Key("score")) as was_cut_off:
        assert not was_cut_off


def test_who_was_killed_is_succeeded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "SILENT_S", 600.0)
    with holder(tmp_path) as first:
        first.kill()
        while Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)  # nobody has asked yet how it ended
        with hold(tmp_path, Key("score")) as was_cut_off:
            assert was_cut_off
            commit_bytes(tmp_path / "made", b"by the second")


def test_who_was_suspended_and_succeeded_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "SILENT_S", 1.0)
    with holder(tmp_path) as first:
        first.send_signal(signal.SIGSTOP)
        with hold(tmp_path, Key("score")):
            commit_bytes(tmp_path / "made", b"by the second")
        (tmp_path / "go").touch()
        first.send_signal(signal.SIGCONT)
        assert first.wait() != 0 and "another process has taken over" in first.communicate()[1]
    assert (tmp_path / "made").read_bytes() == b"by the second"
    assert not list(tmp_path.glob(".*scratch"))


def test_numbers_are_never_used_twice(tmp_path: Path):
    names = []
    for _ in range(3):
        with hold(tmp_path, Key("embed", 1, 4)):
            names += [file.name for file in (tmp_path / "leases").iterdir()]
    assert names == ["embed.1-of-4.1", "embed.1-of-4.2", "embed.1-of-4.3"]


@pytest.mark.parametrize(
    ("step", "rank", "world_size", "fits"),
    [
        ("score", 0, 4, False),
        ("score", 2, 4, True),
        ("score", 0, 1, False),
        ("score", 1, 2, True),
        ("score", 2, 3, False),  # shard 8 belongs to both
        ("score", 2, 8, True),
        ("download", 0, 1, True),
        ("plan", 0, 1, False),
    ],
)
def test_shares_that_have_a_shard_in_common_exclude_each_other(
    tmp_path: Path, step: str, rank: int, world_size: int, fits: bool
):
    with hold(tmp_path, Key("score", 0, 4)):
        if fits:
            with hold(tmp_path, Key(step, rank, world_size)):
                commit_bytes(tmp_path / "x", b"")
        else:
            with pytest.raises(UserError, match="is at work"), hold(tmp_path, Key(step, rank, world_size)):
                pass
        commit_bytes(tmp_path / "y", b"")


def test_a_holder_of_another_host_is_succeeded_when_it_has_been_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "SILENT_S", 1.0)
    file = tmp_path / "leases" / "score.0-of-1.7"
    file.parent.mkdir()
    file.write_text(json.dumps({"host": "elsewhere", "boot": "b", "process": 1, "started": "1", "is_done": False}))
    over = threading.Event()
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    beats = threading.Thread(target=lease._beat, args=(file, over))
    beats.start()
    with pytest.raises(UserError, match="process 1 on elsewhere"), hold(tmp_path, Key("score")):
        pass
    over.set()
    beats.join()
    with hold(tmp_path, Key("score")) as was_cut_off:
        assert was_cut_off and not file.exists() and (file.parent / "score.0-of-1.8").exists()


def test_of_many_that_come_at_once_one_holds(tmp_path: Path):
    held, lock, most = 0, threading.Lock(), 0
    refused: list[UserError] = []

    def come() -> None:
        nonlocal held, most
        try:
            file, _ = lease._acquire(tmp_path / "leases", Key("score"))
        except UserError as error:
            refused.append(error)
            return
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.3)
        with lock:
            held -= 1
        lease._write(file, lease.Holder(is_done=True))

    for number in range(1, 4):
        (tmp_path / "leases").mkdir(exist_ok=True)
        (tmp_path / "leases" / f"score.0-of-1.{number}").write_text(json.dumps({"is_done": True}))
    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and refused
