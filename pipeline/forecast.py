"""`corgi status FILE.yaml`: what the steps would make with this config, and about how long that takes.

A step is stale by its own part of the config. What comes after it follows where its output changes, which is known only
once it is made: of those steps the most that they may have to do is told.
"""

from collections.abc import Sequence
from typing import NamedTuple

from configs.steps import ancestors, entries_of
from storage.ledger import read

from .config import PipelineConfig
from .status import StepStatus, status_of


class Forecast(NamedTuple):
    """What one step would do."""

    status: StepStatus
    after: str | None  # the first step before it that will make something; None: it is what it is by itself
    seconds: float | None  # at most; None: this run has no rate for it yet

    @property
    def sentence(self) -> str:
        """Return where the step stands, what it follows, and how long it would take."""
        if not self.after and self.status.states["done"] == self.status.total > 0:
            return self.status.sentence
        parts = [self.status.sentence]
        if self.after:
            parts.append(f"and whatever {self.after} changes")
        parts.append("time unknown" if self.seconds is None else f"about {self.seconds:,.1f} s at most")
        return ", ".join(parts)


def forecast(config: PipelineConfig) -> list[Forecast]:
    """Return what every step of the run would do with this config. Nothing is written."""
    known, made, forecasts = rates(config), list[str](), list[Forecast]()
    for entry in entries_of(config.way):
        status = status_of(entry.name, config)
        after = next((name for name in made if name in ancestors(entry.name)), None)
        todo = status.total if after else status.total - status.states["done"]
        if todo or not status.total:
            made.append(entry.name)
        rate = known.get(entry.name)
        seconds = 0.0 if not todo and status.total else None if rate is None or not status.total else todo * rate
        forecasts.append(Forecast(status, after, seconds))
    return forecasts


def told(forecasts: Sequence[Forecast]) -> str:
    """Return a line a step, and the sum."""
    lines = [f"{each.status.step:10} {each.sentence}" for each in forecasts]
    seconds = [each.seconds for each in forecasts]
    known = sum(each for each in seconds if each is not None)
    unknown = [each.status.step for each in forecasts if each.seconds is None]
    lines.append(f"in all     about {known:,.1f} s at most" + f", and {', '.join(unknown)}, unknown" * bool(unknown))
    return "\n".join(lines)


def rates(config: PipelineConfig) -> dict[str, float]:
    """Return the seconds that each step took for one shard, or for the table, as the run's ledger has it."""
    found = {}
    for line in read(config.run):
        if line.get("event") == "step" and "rank" in line and line.get("made"):
            found[str(line["step"])] = line["seconds"] / line["made"]
    return found
