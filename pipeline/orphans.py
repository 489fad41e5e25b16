"""No process outlives the command that started it: a killed run must not go on writing behind its successor's back."""

import os
import threading
import time

PARENT = "CORGI_PARENT"  # environment: the process to die with
POLL_S = 0.3


def die_with(parent: int) -> None:
    """Ends this process soon after `parent` is no longer its parent, from a thread of its own."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def die_with_starter() -> None:
    """`die_with` for a command that was started by another command of ours, and nothing for one a person typed."""
    parent = os.environ.pop(PARENT, "")
    if parent.isdigit() and os.getppid() == int(parent):
        die_with(int(parent))
