"""Which positions a step sees: the next ones, but for ranges that are left out since they led to bad numbers.

    seen 96, batch 16, left out [104, 120)   ->   96 .. 103, 120 .. 127

A pure function of what a checkpoint holds, so any world size and any restart see the same.
"""

from collections.abc import Iterable, Sequence

import numpy as np

Range = tuple[int, int]  # positions from the first on and below the second


def of_step(seen: int, *, batch: int, left_out: Sequence[Range] = ()) -> np.ndarray:
    """Return the (batch,) positions of the step that follows `seen`. left_out: sorted, and apart from each other."""
    parts, at, missing = [], seen, batch
    for begin, end in left_out:
        if end > at and missing:
            count = min(max(begin - at, 0), missing)
            parts.append(np.arange(at, at + count))
            at, missing = (end if count < missing else at), missing - count
    return np.concatenate([*parts, np.arange(at, at + missing)])


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the same positions as ranges that are sorted and apart."""
    found: list[Range] = []
    for begin, end in sorted((begin, end) for begin, end in ranges):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def is_left_out(position: int, left_out: Iterable[Range]) -> bool:
    """Tell whether no step sees a position."""
    return any(begin <= position < end for begin, end in left_out)
