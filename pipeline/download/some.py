"""A shard of which only some pairs are asked for: what became of the others is known already."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from storage import pairs
from storage.atomic import read_json
from storage.pairs import Add, Fill, Outcome
from storage.shard import STATS, TAR, Shard
from storage.tar import TarReader

from .reasons import is_among


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


def lost_for(shard: Shard, reasons: Sequence[str]) -> list[int]:
    """Return the rows of the pairs that a finished shard lost for one of these reasons, see `reasons.is_among`."""
    statuses = pairs.read(shard, ["status"])["status"].combine_chunks().dictionary_encode()
    wanted = [number for number, status in enumerate(statuses.dictionary.to_pylist()) if is_among(status, reasons)]
    return np.flatnonzero(np.isin(statuses.indices.to_numpy(), wanted)).tolist()


def ask_again(
    shard: Shard, rows: Sequence[int], engine: Fill, *, name: str, fingerprint: str, asked_with: Mapping[str, Any]
) -> Counter[str]:
    """Ask for some pairs of a finished shard once more; return what became of them.

    Nobody else is asked. Images that are there already are copied, byte for byte, into the new tar. name: the engine's.
    """
    table = pairs.read(shard)
    before = pairs.outcomes_of(table)
    with TarReader(shard.path(TAR)) as tar:
        pairs.write_shard(
            shard,
            table.drop_columns(pairs.COLUMNS.names),
            asking_only(rows, engine, lambda row: pairs.with_image(before[row], tar)),
            fingerprint=fingerprint,
            engine=name,
            earlier=read_json(shard.path(STATS)),
            asked_with=asked_with,
        )
    now = pairs.read(shard, ["status"])["status"].to_pylist()
    return Counter(now[row] for row in rows)
