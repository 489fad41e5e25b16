"""Progress of long work: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY_S = 10.0


class Progress:
    """`with Progress("download", total=16, unit="shards") as progress: progress.advance(1, counts)`."""

    def __init__(self, name: str, *, total: int, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self._began = self._printed = time.monotonic()
        console = Console(file=sys.stderr)
        columns = (
            TextColumn("{task.description:10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
        self._bar.disable = not console.is_terminal
        self._task = self._bar.add_task(name, total=total, said=unit)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, count: int, counts: Counter[str] | None = None) -> None:
        """`count` more are done; `counts` so far are shown beside."""
        self.done += count
        said = "  ".join(f"{reason} {number:,}" for reason, number in (counts or Counter()).most_common(3))
        self._bar.update(self._task, completed=self.done, said=f"{self.unit}  {said}")
        now = time.monotonic()
        if self._bar.disable and count and (now - self._printed > LINE_EVERY_S or self.done == self.total):
            self._printed = now
            seconds = now - self._began
            print(
                f"{self.name}: {self.done}/{self.total} {self.unit}  {seconds:.1f} s  {said}",
                file=sys.stderr,
                flush=True,
            )
