"""The columns of a pair: what a table brings and what the steps add to it, in the order in which they come."""

from functools import cache

import pyarrow as pa

from filters.scorers import ScorersConfig, columns_of, columns_of_ours
from storage import duplicates, frequent, pairs

OURS = ("key", "url", "caption", "caption_raw")  # and what begins with corgi_

OF_DEDUP = (*duplicates.COLUMNS, *frequent.COLUMNS)  # columns that dedup makes


def is_made_here(name: str) -> bool:
    """Tell whether a column of a url table, in small letters, is called like one that a step makes or may make."""
    return name in _made_here() or name.startswith("corgi_")


@cache
def _made_here() -> frozenset[str]:
    scored = [name for columns in columns_of_ours().values() for name in columns]
    return frozenset([*OURS, *pairs.COLUMNS.names, *scored, *OF_DEDUP])


def judged(planned: pa.Schema, scorers: ScorersConfig) -> pa.Schema:
    """Return the columns that rules of `select` may speak of. planned: those that `plan` writes."""
    copies = [pa.field(name, pa.bool_()) for name in duplicates.COLUMNS]
    copies += [pa.field(name, pa.int64()) for name in frequent.COLUMNS]
    scored = [pa.field(name, kind) for name, kind in columns_of(scorers).items()]
    return pa.schema([*planned, *pairs.COLUMNS, *scored, *copies])


def without_empty_types(table: pa.Table) -> pa.Table:
    """Return the table with columns of no type in the place of truth values of which none is known.

    So adopted shards have columns that say nothing in them, whatever they hold in others.
    """
    for place, field in enumerate(table.schema):
        if pa.types.is_boolean(field.type) and table[place].null_count == len(table):
            table = table.set_column(place, field.name, pa.nulls(len(table)))
    return table
