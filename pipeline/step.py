"""What a step is. A shard step is a function of one shard, a table step of the whole run.

Of both, the output is the done-mark: what is there with the expected fingerprint is skipped. What a step is called,
reads and writes stands in its entry of the registry; its fields are the parts of the pipeline's config that it is made
from, by name, so that it knows of no other.
"""

import importlib
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from configs import UserError
from configs.steps import StepEntry
from storage.footers import exists
from storage.shard import Shard
from storage.tables import read_mark

State = Literal["done", "stale", "missing", "waiting"]


class ShardStep(ABC):
    """A function of one shard. It travels to the workers; models that it has loaded stay where they are."""

    entry: ClassVar[StepEntry]

    def __getstate__(self) -> dict[str, object]:
        return {part.name: getattr(self, part.name) for part in fields(self)}  # type: ignore[arg-type]

    @property
    def writes(self) -> str:
        """Return the suffix whose presence, with the expected fingerprint, means done."""
        return self.entry.writes

    def prepare(self) -> None:
        """Make what must be there before any shard is made. Every rank does it, so all must make the same."""
        return

    @abstractmethod
    def fingerprint(self, shard: Shard) -> str:
        """Return what the output would be made from today."""

    @abstractmethod
    def __call__(self, shard: Shard) -> Counter[str]:
        """Make the output; count pairs by what became of them."""

    def pairs(self, counts: Counter[str]) -> int:
        """Return how many pairs were counted. Each is counted once, unless the step says otherwise."""
        return counts.total()

    def state(self, shard: Shard) -> State:
        """Return where a shard stands, from footers only."""
        if any(not exists(shard.name(suffix)) for suffix in self.entry.reads):
            return "waiting"
        mark = read_mark(shard.name(self.writes))
        if mark is None or any(not exists(shard.name(suffix)) for suffix in self.entry.also):
            return "missing"
        return "done" if mark.fingerprint == self.fingerprint(shard) else "stale"


class LossyStep(ShardStep):
    """A shard step that may lose pairs, each for a reason that can be looked at."""

    @property
    @abstractmethod
    def tolerate_lost(self) -> float:
        """Return the share of pairs that may be lost for one reason; from 1 on, all may."""

    @abstractmethod
    def fates(self, shard: Shard) -> pa.ChunkedArray:
        """Return what became of each pair of a finished shard: ok, or why it was lost."""

    @abstractmethod
    def example(self, shard: Shard, row: int) -> str:
        """Return in a few words which pair this is, and what is known of its loss."""

    @abstractmethod
    def remedy(self, reason: str) -> str:
        """Return what a reason means, and the key that would change it."""


class TableStep(ABC):
    """A function of the whole run."""

    entry: ClassVar[StepEntry]
    run: Path

    @property
    def path(self) -> Path:
        """Return the file whose presence, with the expected fingerprint, means done."""
        return self.run / self.entry.writes

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what the output would be made from today. Raises UserError where an input is not there."""

    @abstractmethod
    def __call__(self) -> Counter[str]:
        """Make the output; count what the step counts."""

    def state(self) -> State:
        """Return where the step stands."""
        mark = read_mark(self.path)
        try:
            expected = self.fingerprint()
        except UserError:  # what it reads is not there yet
            return "waiting"
        if mark is None:
            return "missing"
        return "done" if mark.fingerprint == expected else "stale"


def step_class(entry: StepEntry) -> Any:
    """Return the class of a registered step."""
    return getattr(importlib.import_module(entry.module or f"pipeline.{entry.name}"), entry.name.capitalize())
