"""Commands killed with everything they started, at a moment of our choice, and digests of what runs leave behind."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

UNCOMPARED = ("_stats.json", "ledger.jsonl", "config.yaml")  # timings, addresses and dates


def start(command: Sequence[str], log: Path, *, threads: int | None = None) -> subprocess.Popen[bytes]:
    """`corgi ...` as the leader of a session of its own. threads: of its numerics; None: as it likes."""
    words = [sys.executable, "-m", "corgi", *command]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with log.open("ab") as out:
        return subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, env=environment)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to every process of the session, then waits until none is left."""
    session = process.pid
    for pid in _of_session(session):
        _kill(pid)
    process.wait()
    while left := _of_session(session):
        for pid in left:
            _kill(pid)
        time.sleep(0.05)


def kill_after(command: Sequence[str], log: Path, *, seconds: float) -> bool:
    """Runs a command and kills its tree after `seconds`; False if it was done before."""
    process = start(command, log)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_tree(process)
        return True
    assert process.returncode == 0, log.read_text()[-3000:]
    return False


def kill_when(command: Sequence[str], log: Path, seen: Callable[[], bool]) -> bool:
    """Runs a command and kills its tree the moment `seen()`; False if it was done before."""
    process = start(command, log)
    while process.poll() is None:
        if seen():
            kill_tree(process)
            return True
        time.sleep(0.002)
    assert process.returncode == 0, log.read_text()[-3000:]
    return False


def finish(command: Sequence[str], log: Path) -> float:
    """Runs a command to its end and returns its seconds."""
    began = time.monotonic()
    process = start(command, log)
    assert process.wait() == 0, log.read_text()[-3000:]
    return time.monotonic() - began


def digests(run: Path, *patterns: str) -> dict[str, str]:
    """sha256 of every file below `run` that matches, less those that may differ between runs."""
    files = {file for pattern in patterns for file in run.glob(pattern) if file.is_file()}
    compared = (file for file in files if not file.name.endswith(UNCOMPARED))
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(compared)}


def _of_session(session: int) -> list[int]:
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        state, _, _, owner = stat.rpartition(")")[2].split()[:4]
        if int(owner) == session and state != "Z":
            pids.append(int(entry.name))
    return pids


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
