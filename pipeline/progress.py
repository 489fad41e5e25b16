"""Progress of long work: a bar on a terminal; in a log plain lines, also while nothing moves.

A line comes every 20 seconds, or CORGI_LOG_EVERY_S.
"""

import os
import sys
import threading
import time
from collections import Counter
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from configs import UserError

LOG_EVERY_S = "CORGI_LOG_EVERY_S"  # environment


class Progress:
    """`with Progress("download", total=16, unit="shards") as progress: progress.advance(1, "404 12  dns 3")`.

    done: of the total, before this began. Parts of a unit may be done, too.
    """

    def __init__(self, name: str, *, total: int, unit: str, done: int = 0) -> None:
        self._name, self._total, self._unit, self._first = name, total, unit, done
        self._done: float = done
        self._note = ""
        self._every_s = _log_every_s()
        self._began = self._printed = time.monotonic()
        console = Console(file=sys.stderr)
        columns = [
            TextColumn("{task.description:10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        ]
        self._bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
        self._bar.disable = not console.is_terminal
        self._task = self._bar.add_task(name, total=total, completed=done, note=unit)
        self._lock, self._is_over = threading.Lock(), threading.Event()
        self._beat = threading.Thread(target=self._print_now_and_then, daemon=True, name="progress")

    def __enter__(self) -> Self:
        self._bar.start()
        if self._bar.disable:
            self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._beat.is_alive():
            self._beat.join()
        self._bar.stop()

    def advance(self, count: float, note: str = "") -> None:
        """Count so many more as done, and show a note beside."""
        self.reach(self._done + count, note)

    def reach(self, done: float, note: str = "") -> None:
        """Show how many are done in all, and a note beside; in a log now and then, and at the end."""
        with self._lock:
            is_further, self._done, self._note = done > self._done, done, note
            self._bar.update(self._task, completed=done, note=f"{self._unit}  {note}")
            now = time.monotonic()
            is_due = now - self._printed >= self._every_s or done == self._total
            if self._bar.disable and is_further and is_due:
                self._print(now)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _print_now_and_then(self) -> None:
        while not self._is_over.wait(max(0.0, self._printed + self._every_s - time.monotonic())):
            with self._lock:
                if (now := time.monotonic()) - self._printed >= self._every_s:
                    self._print(now)

    def _print(self, now: float) -> None:
        self._printed, spent_s = now, now - self._began
        ahead = self._done - self._first
        left = f"{spent_s / ahead * (self._total - self._done):.0f} s" if ahead else "unknown"
        counts = f"{int(self._done):,}/{self._total:,} {self._unit}"
        self.say(f"{self._name}: {counts}  {spent_s:.0f} s, eta {left}  {self._note}".rstrip())


def _log_every_s() -> float:
    text = os.environ.get(LOG_EVERY_S, "20")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UserError(f"{LOG_EVERY_S} is {text!r}, but must be a number of seconds above 0")
    return seconds


def pace(pairs: int, seconds: float, *, kept: int | None = None, lost: Counter[str] | None = None) -> str:
    """Return '23,450 pairs, 411/s, 71.2 % kept  http_404 4,100', a note; '' of no pairs."""
    if not pairs:
        return ""
    share = "" if kept is None else f", {100 * kept / pairs:.1f} % kept"
    return f"{pairs:,} pairs, {pairs / max(seconds, 1e-3):,.0f}/s{share}  {most(lost or Counter())}".rstrip()


def most(counts: Counter[str]) -> str:
    """Return the three largest of some counts, as a note."""
    return "  ".join(f"{reason} {number:,}" for reason, number in counts.most_common(3))
