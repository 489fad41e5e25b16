"""All that a training says: to the ledger, which is the truth and all that trackers are told, and to the terminal."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from pipeline.progress import Progress
from storage.grids import write_grid
from storage.ledger import Ledger

from .config import TrainConfig
from .distributed import Ranks

NOTABLE = 0.1  # share of a step's time spent waiting for batches, from which on a person is told


class RunLogger:
    """`with RunLogger(config, ranks=ranks, done=step) as logger: logger.note("checkpoint", step=100, seen=6400)`.

    Only the main rank says anything. done: steps done before.
    """

    def __init__(self, config: TrainConfig, *, ranks: Ranks, done: int) -> None:
        self._run = config.run
        self._ledger = Ledger(config.run) if ranks.is_main else None
        progress = Progress(config.stage.name, total=config.steps, unit="steps", done=done)
        self._progress = progress if ranks.is_main else None
        self.is_first = self._ledger is not None and self._ledger.is_empty  # nothing was ever noted of this training

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._ledger and self._progress:
            self._progress.__exit__()
            self._ledger.sync()
            self._ledger.close()

    def note(self, event: str, *, step: int, **values: Any) -> None:
        """Write a line into the ledger."""
        if self._ledger:
            self._ledger.note(event, step=step, **values)

    def note_grid(self, images: np.ndarray, *, step: int, captions: Sequence[str], **values: Any) -> None:
        """Store (n, px, px, 3) uint8 images, and note them; captions: one an image."""
        if self._ledger:
            file = write_grid(self._run, step, images)
            self._ledger.note("grid", step=step, file=file, px=images.shape[1], captions=[*captions], **values)

    def show(self, step: int, *, loss: float, images_per_s: float, data_share: float) -> None:
        """Show a person where the training stands."""
        if self._progress:
            waits = f"  waits for data {data_share:.0%}" if data_share >= NOTABLE else ""
            self._progress.reach(step, f"loss {loss:.4f}  {images_per_s:.1f} images/s{waits}")

    def say(self, line: str) -> None:
        """Print a line for a person, that stays."""
        if self._progress:
            self._progress.say(line)

    def sync(self) -> None:
        """Make all that was noted durable."""
        if self._ledger:
            self._ledger.sync()
