"""What a person sees of a training: a live line on a terminal, plain lines in a log."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

LINE_EVERY_S = 10.0


class Progress:
    """`with Progress(total=4000, done=0) as progress: progress.show(step, loss=..., images_per_s=...)`."""

    def __init__(self, name: str, *, total: int, done: int) -> None:
        self._name, self._total, self._first = name, total, done
        self._began = self._printed = time.monotonic()
        console = Console(file=sys.stderr)
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, step: int, *, loss: float, images_per_s: float) -> None:
        """The numbers of the last steps; in a log a line every ten seconds, and the last."""
        line = f"{self._name}  step {step:,}/{self._total:,}  loss {loss:.4f}  {images_per_s:.1f} images/s"
        line += f"  eta {_clock(self._left_s(step))}"
        if self._live:
            self._live.update(Text(line), refresh=True)
        elif time.monotonic() - self._printed >= LINE_EVERY_S or step == self._total:
            self._printed = time.monotonic()
            self.say(line)

    def say(self, line: str) -> None:
        """A line that stays."""
        print(line, file=sys.stderr, flush=True)

    def _left_s(self, step: int) -> float:
        spent = time.monotonic() - self._began
        return spent / max(step - self._first, 1) * (self._total - step)


def _clock(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
