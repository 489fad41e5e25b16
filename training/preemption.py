"""Requests to save and leave: SIGTERM, SIGUSR1, or a file named `stop` in the run folder."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

from storage.run import STOP

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class PreemptionSignal:
    """`with preemption.listening(): ... if preemption.requested(look_for_file=True): ...`."""

    def __init__(self, run: Path) -> None:
        self._file = run / STOP
        self._signalled = threading.Event()

    def listening(self) -> AbstractContextManager[None]:
        """Take note of signals inside; outside they mean what they meant before."""
        return _on_signals(self._signalled.set)

    def requested(self, *, look_for_file: bool) -> bool:
        """Tell whether this process was asked. One rank is enough to look for the file."""
        return self._signalled.is_set() or (look_for_file and self._file.exists())


def signals_to_file(run: Path) -> AbstractContextManager[None]:
    """Pass signals on, for a launcher whose children train: inside, they write the file that asks all to leave."""
    return _on_signals((run / STOP).touch)


@contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        act()

    is_main = threading.current_thread() is threading.main_thread()  # Python lets no other thread handle signals
    before = {number: signal.signal(number, handle) for number in SIGNALS} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
