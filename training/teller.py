"""All that a training says, to the ledger, to W&B and to the terminal; only the leading rank says anything."""

from typing import Any, Self

from .config import TrainConfig
from .ledger import Ledger
from .progress import Progress
from .ranks import Ranks
from .track import Tracker


class Teller:
    """`with Teller(config, ranks=ranks, done=step) as tell: tell.note("checkpoint", step=100, seen=6400)`."""

    def __init__(self, config: TrainConfig, *, ranks: Ranks, done: int) -> None:
        self._leads, self.first = ranks.leads, False
        if self._leads:
            self._ledger, self._tracker = Ledger(config.run), Tracker(config)
            self.first = self._ledger.empty  # nothing was ever said of this training
            self._progress = Progress(config.stage.name, total=config.steps, done=done)

    def __enter__(self) -> Self:
        if self._leads:
            self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._leads:
            self._progress.__exit__()
            self._ledger.sync()
            self._ledger.close()
            self._tracker.close()

    def note(self, event: str, *, step: int, **what: Any) -> None:
        """A line for the ledger and its mirror."""
        if self._leads:
            self._tracker.mirror(self._ledger.note(event, step=step, **what))

    def show(self, step: int, *, loss: float, images_per_s: float) -> None:
        """The state of things for a person."""
        if self._leads:
            self._progress.show(step, loss=loss, images_per_s=images_per_s)

    def say(self, line: str) -> None:
        """A line for a person, that stays."""
        if self._leads:
            self._progress.say(line)

    def sync(self) -> None:
        """What was noted is durable from here on."""
        if self._leads:
            self._ledger.sync()
