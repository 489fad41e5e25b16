"""How often a picture, a caption and a host stand in the whole run: image_count, caption_count, host_count.

A picture under thousands of urls is a placeholder, a caption under thousands of pictures is boilerplate. `dedup` counts
where `dedup.frequent` says from how many pairs on; rules compare:

    no_placeholder: image_count < 100
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa

from filters.duplicates import digests, groups_of
from storage import frequent, spread

from .dedup_parts import Parts
from .dedup_records import DIGEST, PIXELS, VALUES, values_of

COUNTED = {"exact": "image", "caption": "caption", "host": "host"}  # kind of dedup's digests -> what it is called
KIND = {f"{name}_count": kind for kind, name in COUNTED.items()}  # of each count
RECORD = np.dtype([("hash", np.uint64), ("count", np.int64), ("id", np.int64)])


def count(parts: Parts, kind: str, part: int) -> None:
    """Write how often the values of one part stand there: those that stand often enough."""
    records = spread.read(parts.files(kind), DIGEST, part)
    order, starts = groups_of(records["words"])
    sizes = np.diff(np.append(starts, len(order)))
    is_frequent = sizes >= (parts.frequent or 0)
    found = np.zeros(int(is_frequent.sum()), RECORD)
    first = records[order[starts[is_frequent]]]
    found["hash"], found["count"], found["id"] = first["words"][:, 0], sizes[is_frequent], first["id"]
    spread.write(parts.path(f"{kind}.frequent", part), found)


def collected(parts: Parts) -> pa.Table:
    """Return all that was counted, as storage.frequent has it."""
    tables = [frequent.SCHEMA.empty_table()]
    for kind, name in COUNTED.items():
        found = spread.read(parts.files(f"{kind}.frequent"), RECORD)
        found = found[np.argsort(found["id"])]
        columns = [pa.array([name] * len(found)), found["hash"], found["count"], pa.array(parts.keys_of(found["id"]))]
        tables.append(pa.Table.from_arrays([pa.array(each) for each in columns], schema=frequent.SCHEMA))
    return pa.concat_tables(tables)


def needed(columns: Collection[str]) -> list[str]:
    """Return what a pair's counts among some columns are looked up by."""
    return [column for name in frequent.COLUMNS if name in columns for column in (VALUES[KIND[name]], PIXELS)]


def with_counts(pairs: pa.Table, run: Path, columns: Collection[str]) -> pa.Table:
    """Return pairs, scored, with those of the counts that are among the columns; 1 where a value is not frequent."""
    for name, kind in zip(frequent.COLUMNS, frequent.KINDS, strict=True):
        if name in columns:
            texts = values_of(KIND[name], pairs, pairs).to_pylist()
            pairs = pairs.append_column(name, pa.array(_counts(texts, *frequent.counts_of(run, kind))))
    return pairs


def _counts(texts: list[str | None], hashes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    found = np.ones(len(texts), np.int64)
    if len(hashes):
        wanted = digests([text or "" for text in texts])[:, 0]
        place = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        is_there = (hashes[place] == wanted) & np.array([bool(text) for text in texts], bool)
        found[is_there] = counts[place[is_there]]
    return found
