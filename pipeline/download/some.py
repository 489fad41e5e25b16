"""A shard of which only some pairs are asked for: what became of the others is known already."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from storage.pairs import Add, Fill, Outcome


def asking_only(rows: Sequence[int], engine: Fill, known: Callable[[int], Outcome]) -> Fill:
    """Return what fills a shard in planned order: `rows`, ascending, by the engine, the others with `known(row)`."""

    def fill(planned: list[dict[str, Any]], add: Add) -> None:
        def add_known(begin: int, end: int) -> None:
            for row in range(begin, end):
                add(known(row))

        gaps: Iterator[tuple[int, int]] = zip([0, *(row + 1 for row in rows)], [*rows, len(planned)], strict=True)

        def add_asked(outcome: Outcome) -> None:
            add(outcome)
            add_known(*next(gaps))

        add_known(*next(gaps))
        if rows:
            engine([planned[row] for row in rows], add_asked)

    return fill
