"""Who keeps what: parameter names dealt to the ranks so that each has about the same number of elements."""

from collections.abc import Mapping


def shares(sizes: Mapping[str, int], *, world_size: int) -> list[list[str]]:
    """Names of each rank, sorted. The largest name goes first, always to the rank that has least; a pure function."""
    loads, dealt = [0] * world_size, [[] for _ in range(world_size)]  # type: list[int], list[list[str]]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        rank = min(range(world_size), key=lambda rank: (loads[rank], rank))
        loads[rank] += sizes[name]
        dealt[rank].append(name)
    return [sorted(names) for names in dealt]
