"""Requests to save and leave: SIGTERM, SIGUSR1, or a file named `stop` in the run folder."""

import signal
import threading
from pathlib import Path
from types import FrameType

from .runfolder import STOP

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """`with StopRequest(run) as stop: ... if stop.asked(): ...`; outside, signals mean what they meant before."""

    def __init__(self, run: Path) -> None:
        self._file = run / STOP
        self._signalled = False

    def __enter__(self) -> "StopRequest":
        on_main = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS} if on_main else {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self, *, look_for_file: bool) -> bool:
        """Whether this process was asked. One rank is enough to look for the file."""
        return self._signalled or (look_for_file and self._file.exists())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
