"""Which rank is slow, and at what: ranks wait for each other, so one that is slow is seen only in its own work.

data       waiting for its batches
forward    the net's answer, before any rank is waited for
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from .distributed import Ranks, all_reduce_sum

SECTIONS = ("data", "forward")
SLOW = 1.5  # times the median of all ranks
NOTABLE = 0.05  # of all the time: less is noise


class Straggler(NamedTuple):
    """A rank that others wait for."""

    rank: int
    section: str
    seconds: float
    median_s: float


class DeviceClock:
    """Seconds of work on a device, which is not waited for before they are asked for."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu, self._seconds = device.type == "cuda", 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is done inside."""
        if self._on_gpu:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            yield
            end.record()
            self._events.append((begin, end))
        else:
            began = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - began

    def take(self) -> float:
        """Return the seconds since this was last asked."""
        for begin, end in self._events:
            end.synchronize()
            self._seconds += begin.elapsed_time(end) / 1000
        taken, self._seconds = self._seconds, 0.0
        self._events.clear()
        return taken


def find(own: Sequence[float], *, total_s: float, ranks: Ranks) -> list[Straggler]:
    """Return the ranks that are slow, the same on each; all ranks call.

    own: this rank's seconds of each section; total_s: that the steps took.
    """
    table = [0.0] * (len(SECTIONS) * ranks.world_size)
    table[ranks.rank :: ranks.world_size] = own
    *seconds, summed_s = all_reduce_sum([*table, total_s], ranks=ranks)
    by_section = [seconds[first : first + ranks.world_size] for first in range(0, len(table), ranks.world_size)]
    return slow_in(dict(zip(SECTIONS, by_section, strict=True)), total_s=summed_s / ranks.world_size)


def slow_in(seconds: Mapping[str, Sequence[float]], *, total_s: float) -> list[Straggler]:
    """Return who is slow. seconds: section -> of each rank; total_s: that the steps took."""
    found = []
    for section, of_ranks in seconds.items():
        median = statistics.median_low(of_ranks)
        for rank, spent in enumerate(of_ranks):
            if spent > SLOW * median and spent - median > NOTABLE * total_s:
                found.append(Straggler(rank, section, round(spent, 3), round(median, 3)))
    return found
