"""takedown.parquet at the top of a run: which pairs must never come back, without saying what they were.

    kind ("key" or "url"), sha256 (of the key or the url, 64 hex digits), date, reason (list and line)

What is left of a pair in the run's other files is its key, with the status `taken_down` and no url, caption or hash.
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import fingerprint

from .tables import write_table

TOMBSTONES = "takedown.parquet"
TAKEN_DOWN = "taken_down"  # status of a pair, and the plan's reason
KEPT = ("key",)  # columns of which a pair that was taken down keeps its values
TEXTS = ("url", "caption")  # of which it has an empty one: others rely on a text
SCHEMA = pa.schema([(name, pa.string()) for name in ("kind", "sha256", "date", "reason")])


class Tombstone(NamedTuple):
    """One key or url that must not come back."""

    kind: str
    sha256: str
    date: str
    reason: str


def digest(text: str) -> str:
    """Return the sha256 of a key or url, 64 hex digits."""
    return sha256(text.encode()).hexdigest()


def read(run: Path) -> pa.Table:
    """Return all tombstones of a run; none where nothing was ever taken down."""
    path = run / TOMBSTONES
    return pq.read_table(path, partitioning=None).cast(SCHEMA) if path.exists() else SCHEMA.empty_table()


def add(run: Path, tombstones: Iterable[Tombstone]) -> None:
    """Commit further tombstones; of what has one already, the first stays."""
    known = {(row["kind"], row["sha256"]): Tombstone(**row) for row in read(run).to_pylist()}
    every = {(each.kind, each.sha256): each for each in tombstones} | known
    rows = [every[place]._asdict() for place in sorted(every)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_table(run / TOMBSTONES, table, fingerprint=fingerprint("takedown"))


class Tombstones:
    """The tombstones of a run, to be asked for pairs."""

    def __init__(self, run: Path) -> None:
        table = read(run)
        kinds = {kind: table.filter(pc.equal(table["kind"], kind))["sha256"].to_pylist() for kind in ("key", "url")}
        self._keys, self._urls = frozenset(kinds["key"]), frozenset(kinds["url"])

    def __bool__(self) -> bool:
        return bool(self._keys or self._urls)

    def holds(self, key: str, url: str = "") -> bool:
        """Tell whether a pair was taken down, by its key or its url."""
        return bool(self) and (digest(key) in self._keys or digest(url) in self._urls)

    def mask(self, keys: pa.ChunkedArray) -> np.ndarray:
        """Return (n,) bool: which of these keys were taken down."""
        if not self._keys:
            return np.zeros(len(keys), bool)
        return np.fromiter((digest(key) in self._keys for key in keys.to_pylist()), bool, len(keys))


def blanked(table: pa.Table, gone: np.ndarray) -> pa.Table:
    """Return planned pairs of which the rows `gone`, (n,) bool, have no more than their keys."""
    rows = pa.array(np.arange(len(table)), mask=gone)  # an index that is null takes a null, of any type
    columns = []
    for name in table.column_names:
        column = table[name] if name in KEPT else table[name].take(rows)
        columns.append(pc.fill_null(column, "") if name in TEXTS else column)
    return pa.Table.from_arrays(columns, schema=table.schema.remove_metadata())


def is_alive(table: pa.Table) -> np.ndarray:
    """Return (n,) bool: which rows have more than a key. table: of planned pairs, or some of their columns."""
    alive = np.zeros(len(table), bool)
    for name in table.column_names:
        if name in KEPT:
            continue
        column = table[name]
        filled = pc.not_equal(pc.fill_null(column, ""), "") if pa.types.is_string(column.type) else column.is_valid()
        alive |= filled.to_numpy()
    return alive
