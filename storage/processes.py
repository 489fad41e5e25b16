"""Child processes that die with their parent: a killed run must not go on writing behind its successor's back."""

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

PARENT = "CORGI_PARENT"  # environment: the process to die with
POLL_S = 0.3


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


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes that die with this one."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=die_with, initargs=(os.getpid(),))
