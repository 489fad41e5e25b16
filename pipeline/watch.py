"""What a person sees of a step over shards: how many pairs, how fast, how many of them stay, and why the others do not.

    download: 3/16 shards  57 s, eta 240 s  23,450 pairs, 411/s, 71.2 % kept  http_404 4,100  dns 1,200

Shards under way count by the part of them that is done, so that one long shard shows progress, too.
"""

import time
from collections import Counter

from storage.pairs import OK

from .progress import Progress, pace
from .step import LossyStep, ShardStep
from .workers import Report, Wire

KEPT = (OK, "kept")  # what a step that may lose pairs calls those that stay


class Watch:
    """Keeps the progress of a step's shards. wire: where its workers tell how far they are."""

    def __init__(self, step: ShardStep, progress: Progress, wire: Wire, *, skipped: int) -> None:
        self._step, self._progress, self._wire = step, progress, wire
        self._ended = skipped
        self._counts = Counter[str]()  # of shards that are made
        self._under_way: dict[int, Report] = {}
        self._began = time.monotonic()

    def look(self) -> None:
        """Take what the workers have told since, and show it."""
        self._take()
        self._show()

    def end(self, shard: int, counts: Counter[str]) -> None:
        """Count a shard that is made, or lost."""
        self._ended += 1
        self._counts += counts
        self._take()
        self._under_way.pop(shard, None)  # what it told before its end counts no more
        self._show()

    def _take(self) -> None:
        for report in self._wire.read():
            self._under_way[report.shard] = report

    def _show(self) -> None:
        reports = self._under_way.values()
        parts = sum(min(1.0, report.done / report.of) for report in reports if report.of)
        counts = sum((report.counts for report in reports), self._counts.copy())
        pairs = self._step.pairs(self._counts) + sum(report.done for report in reports)
        self._progress.reach(self._ended + parts, self._note(counts, pairs))

    def _note(self, counts: Counter[str], pairs: int) -> str:
        seconds = time.monotonic() - self._began
        if not isinstance(self._step, LossyStep) and self._step.entry.name != "download":  # a retry loses pairs, too
            return pace(pairs, seconds, lost=counts)
        kept = sum(counts.pop(name, 0) for name in KEPT)
        return pace(pairs, seconds, kept=kept, lost=counts)
