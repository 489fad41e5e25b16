"""One writer of a thing at a time: locks that go with their process, and child processes that die with their parent.

A killed run must neither keep its successor out nor go on writing behind its back.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from filelock import FileLock, Timeout

from configs import UserError

HOUSE = Path(__file__).parents[1]  # where our folders lie
PARENT = "CORGI_PARENT"  # environment: the process to die with
LOCKS = Path("/proc/locks")
POLL_S = 0.3
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # a file system without locks


def die_with(parent: int) -> None:
    """End this process soon after `parent` is no longer its parent, from a thread of its own."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def child_environment() -> dict[str, str]:
    """Return the environment for a command of ours that must not outlive this process."""
    return {**os.environ, PARENT: str(os.getpid())}


def die_with_starter() -> None:
    """Call `die_with` for a command that was started with `child_environment`; do nothing for one a person typed."""
    parent = os.environ.pop(PARENT, "")
    if parent.isdigit() and os.getppid() == int(parent):
        die_with(int(parent))


def keep_to_safe_path() -> None:
    """Let no child of this process, nor any of theirs, import from the folder that happens to be today's.

    They find our modules as this process does: among those that are installed, or where this code lies.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    if "site-packages" not in HOUSE.parts:
        earlier = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(HOUSE)]
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HOUSE), *earlier])


def process_pool(workers: int, *, begin: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Return a pool of fresh processes that die with this one. begin: what each does first."""
    context = get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(os.getpid(), begin))


def _begin(parent: int, begin: Callable[[], None] | None) -> None:
    die_with(parent)
    if begin is not None:
        begin()


@contextmanager
def locked(path: Path, *, busy: str) -> Iterator[None]:
    """Hold the lock file `path`. Raises UserError with the line `busy` where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)  # a lock that is only a file would outlive a killed process
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(busy, exit_code=1) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:  # else there is nothing to rely on, and nothing lost
            raise
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Tell whether a process of this machine holds a lock file, without taking it: for who only looks."""
    try:
        inode = path.stat().st_ino
        return any(line.split()[5].endswith(f":{inode}") for line in LOCKS.read_text().splitlines())
    except (OSError, IndexError):
        return False
