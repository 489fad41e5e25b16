"""Pairs to look at: where they lie, and what a person needs to judge them."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from storage.shard import Shard

from ..select import candidates_of

EXAMPLES = 8  # of each kind
SHOWN = ("key", "url", "caption")
# What tells that a pair is not for everyone's eyes, where a run has it.
TELLING = ("nsfw", "nsfw_score", "hate", "offensive")


class Place(NamedTuple):
    """A row of a shard's tar."""

    shard: int
    row: int
    failed: tuple[str, ...] = ()  # rules


def pairs_at(run: Path, places: Iterable[Place], columns: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return key, url, caption, shard, failed and `values` of the pairs, in order. columns: those in `values`."""
    tables: dict[int, Any] = {}
    pairs = []
    for place in places:
        if place.shard not in tables:
            tables[place.shard] = candidates_of(Shard(run, place.shard), {*SHOWN, *TELLING, *columns})
        row = tables[place.shard].slice(place.row, 1).to_pylist()[0]
        pair = {name: row[name] for name in (*SHOWN, *TELLING) if row.get(name) is not None}
        values = {name: row[name] for name in sorted(columns) if name in row and name not in SHOWN}
        pairs.append({**pair, "shard": place.shard, "failed": list(place.failed), "values": values})
    return pairs
