"""Requests to save and leave: SIGTERM, SIGUSR1, SIGINT (Ctrl-C), or a file named `stop` in the run folder."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from storage.run import STOP

from .vital_signs import STOPPED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class PreemptionSignal:
    """`with preemption.listening(): ... if preemption.requested(look_for_file=True): ...`."""

    def __init__(self, run: Path) -> None:
        self._file = run / STOP
        self._signalled = threading.Event()

    def listening(self) -> AbstractContextManager[None]:
        """Take note of signals inside; outside they mean what they meant before. A second Ctrl-C leaves at once."""
        return on_signals(self._note)

    def requested(self, *, look_for_file: bool) -> bool:
        """Tell whether this process was asked. One rank is enough to look for the file."""
        return self._signalled.is_set() or (look_for_file and self._file.exists())

    def _note(self, number: int) -> None:
        if number == signal.SIGINT and self._signalled.is_set():
            raise KeyboardInterrupt
        self._signalled.set()


def leaving() -> AbstractContextManager[None]:
    """Leave with 75 at once inside, as there is nothing yet to be saved; whatever listens further in comes first."""
    return on_signals(_leave)


def _leave(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(STOPPED)


@contextmanager
def on_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with the number of each request that comes as a signal."""

    def handle(number: int, frame: FrameType | None) -> None:
        act(number)

    is_main = threading.current_thread() is threading.main_thread()  # Python lets no other thread handle signals
    before = {number: signal.signal(number, handle) for number in SIGNALS} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
