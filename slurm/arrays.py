"""Which tasks an array has: those with something to do, in arrays no larger than the cluster takes.

tasks of 2,000, MaxArraySize 1001    --array=0-1000 and, with 1001 added to each, --array=0-998
only shards 3, 17 and 67 of 64 tasks --array=3,17
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_ARRAY_SIZE = 1001  # SLURM's own, where the cluster cannot be asked
SHARDS_OF_A_TASK = 32  # where nobody says how many tasks there are


class Part(NamedTuple):
    """One array of those that a step is split into."""

    indices: tuple[int, ...]  # of its tasks, as SLURM numbers them
    offset: int  # the rank of task 0
    at_once: int | None = None


def size_of(asked: int | None, shards: int | None) -> int:
    """Return how many tasks share the shards: as asked, but no more than there are shards where that is known."""
    if shards is None:
        return asked or 1
    return min(asked or -(-shards // SHARDS_OF_A_TASK), max(shards, 1))


def ranks_of(size: int, left: Sequence[int] | None) -> list[int]:
    """Return which of `size` ranks have something to do. left: numbers of the shards to make; None: all."""
    return list(range(size)) if left is None else sorted({number % size for number in left})


def parts_of(ranks: Sequence[int], *, limit: int, at_once: int | None = None) -> list[Part]:
    """Split ranks into arrays whose indices stay below `limit`; what may run at once is shared between them."""
    offsets = sorted({rank // limit * limit for rank in ranks})
    shares: Iterator[int | None] = iter([None] * len(offsets))
    if at_once is not None:
        shares = (max(1, (at_once + place) // len(offsets)) for place in reversed(range(len(offsets))))
    return [
        Part(tuple(rank - offset for rank in ranks if rank // limit * limit == offset), offset, share)
        for offset, share in zip(offsets, shares, strict=True)
    ]


def listed(indices: Sequence[int]) -> str:
    """Return '0-3,7', as --array takes it. indices: ascending."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unlisted(text: str) -> list[int]:
    """Return the indices of what `listed` wrote."""
    bounds = [part.partition("-") for part in text.split(",")]
    return [index for first, _, last in bounds for index in range(int(first), int(last or first) + 1)]
