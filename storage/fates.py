"""What became of a shard's pairs, summed up in the footer of its table: no row need be read to know it.

corgi.fates   {"ok": [9200, 0], "http_404": [800, 17]}     how many, and the first row
"""

import json
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from .tables import read_metadata

FATES = "corgi.fates"


class Fate(NamedTuple):
    """Of the pairs of one shard that came to the same."""

    pairs: int
    first: int  # row


def summed(fates: pa.Array | pa.ChunkedArray) -> dict[str, Fate]:
    """Return what each pair came to, summed up. fates: text, one a row."""
    counts = {each["values"]: each["counts"] for each in fates.value_counts().to_pylist()}
    return {name: Fate(count, pc.index(fates, name).as_py()) for name, count in counts.items()}


def as_metadata(fates: pa.Array | pa.ChunkedArray) -> dict[str, str]:
    """Return what a table says in its footer of the fates of its rows."""
    return {FATES: json.dumps({name: [*fate] for name, fate in summed(fates).items()})}


def read(path: Path) -> dict[str, Fate] | None:
    """Return what the footer of a table says; None where it says nothing, as those of older runs."""
    text = read_metadata(path).get(FATES)
    return None if text is None else {name: Fate(*fate) for name, fate in json.loads(text).items()}
