"""Progress of long work: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections import Counter
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY_S = 10.0


class Progress:
    """`with Progress("download", total=16, unit="shards") as progress: progress.advance(1, "404 12  dns 3")`.

    done: of the total, before this began.
    """

    def __init__(self, name: str, *, total: int, unit: str, done: int = 0) -> None:
        self._name, self._total, self._unit, self._first = name, total, unit, done
        self._done = done
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

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, count: int, note: str = "") -> None:
        """Count so many more as done, and show a note beside."""
        self.reach(self._done + count, note)

    def reach(self, done: int, note: str = "") -> None:
        """Show how many are done in all, and a note beside; in a log now and then, and at the end."""
        is_further, self._done = done > self._done, done
        self._bar.update(self._task, completed=self._done, note=f"{self._unit}  {note}")
        now, is_last = time.monotonic(), self._done == self._total
        if self._bar.disable and is_further and (now - self._printed > LINE_EVERY_S or is_last):
            self._printed, spent_s = now, now - self._began
            left_s = spent_s / max(self._done - self._first, 1) * (self._total - self._done)
            counts = f"{self._done:,}/{self._total:,} {self._unit}"
            self.say(f"{self._name}: {counts}  {spent_s:.0f} s, eta {left_s:.0f} s  {note}".rstrip())

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


def most(counts: Counter[str]) -> str:
    """Return the three largest of some counts, as a note."""
    return "  ".join(f"{reason} {number:,}" for reason, number in counts.most_common(3))
