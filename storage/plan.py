"""What the plan leaves at the top of a run: where the shards begin, and the rows that it dropped.

plan.parquet           shard, first_key, pairs: a row a shard; of shards that are adopted, what they are made from
plan.dropped.parquet   key, url, caption, reasons: a row for every row of the table that is in no shard
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import UserError
from configs.steps import STEPS

from .atomic import committing
from .shard import FANOUT, PAIRS, URLS, Shard
from .tables import FINGERPRINT, read_metadata, read_table, rows_of_key, write_table
from .takedown import TAKEN_DOWN, blanked, is_alive
from .typed import typed

PLAN = STEPS["plan"].writes
DROPPED = "plan.dropped.parquet"
SHARD_FILE = re.compile(r"(\d{3,})/(\d{5,})[._].+")
DROPPED_SCHEMA = pa.schema(
    [("key", "string"), ("url", "string"), ("caption", "string"), ("reasons", pa.list_(pa.string()))]
)


def shards_of(run: Path) -> list[Shard]:
    """Return all shards of a planned run, from the plan alone. Raises UserError where there is no plan."""
    try:
        count = pq.read_metadata(run / PLAN).num_rows
    except FileNotFoundError:
        raise UserError(f'{run / PLAN} is not there; run "{typed(run, "plan")}" first') from None
    return [*_shards(run, count)]


@lru_cache(maxsize=1)
def _shards(run: Path, count: int) -> tuple[Shard, ...]:
    """Return the shards, the same ones for as long as they are as many: each keeps its name."""
    return tuple(Shard(run, number) for number in range(count))


def first_keys(run: Path) -> list[str]:
    """Return the first key of each shard; shards are cut from pairs that are sorted by key."""
    return read_table(run / PLAN, ["first_key"], made_by="plan")["first_key"].to_pylist()


def is_planned(run: Path) -> bool:
    """Tell whether the run was planned from a url table, so that its pairs are sorted by key, and not adopted."""
    return "pairs" in pq.read_schema(run / PLAN).names


def pairs_of(run: Path) -> list[int]:
    """Return how many pairs each shard has, lost ones among them. Raises UserError where one is not adopted yet."""
    if is_planned(run):
        return read_table(run / PLAN, ["pairs"], made_by="plan")["pairs"].to_pylist()
    try:
        return [pq.read_metadata(shard.path(PAIRS)).num_rows for shard in shards_of(run)]
    except FileNotFoundError as error:
        raise UserError(f'{error.filename} is not there; run "{typed(run, "adopt")}" first') from None


class SourceRow(NamedTuple):
    """What an adopted shard is made from."""

    kind: str  # tar, table or pictures
    path: str  # of a file or, of pictures, of a folder
    begin: int  # the first part of it: row group, record batch, or picture; 0 of a tar
    parts: int  # how many of them
    first_key: str  # comes before all of the shard's keys
    prefix: str  # put before the source's keys
    digest: str  # of what tells whether it is still the same


def write_sources(run: Path, rows: list[SourceRow], *, fingerprint: str) -> None:
    """Commit the plan of a run that adopts: a row a shard. No row of a table is dropped."""
    with dropped_writer(run, fingerprint=fingerprint):
        pass
    write_plan(run, [{"shard": number, **row._asdict()} for number, row in enumerate(rows)], fingerprint=fingerprint)


def sources(run: Path) -> tuple[SourceRow, ...]:
    """Return what each shard is made from, by number. Raises UserError without a plan, or with one of a url table."""
    path = run / PLAN
    if not path.exists():
        raise UserError(f'{path} is not there; run "{typed(run, "adopt")}" first')
    stat = path.stat()
    return _sources(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _sources(path: Path, inode: int, size: int, changed_ns: int) -> tuple[SourceRow, ...]:
    """Read the rows, once for as long as the file is the same: every shard asks for its own."""
    table = read_table(path, made_by="adopt")
    if not {*SourceRow._fields} <= {*table.column_names}:
        raise UserError(
            f"{path.parent} was planned from a url table; give the shards that are to be adopted a run of their own"
        )
    return tuple(SourceRow(**row) for row in table.select(SourceRow._fields).to_pylist())


def write_urls(shard: Shard, pairs: pa.Table, *, fingerprint: str) -> dict[str, Any]:
    """Commit a shard's planned pairs; return its row of the plan."""
    write_table(shard.path(URLS), pairs, fingerprint=fingerprint)
    return {"shard": shard.number, "first_key": pairs["key"][0].as_py(), "pairs": len(pairs)}


def urls_of(run: Path) -> Iterator[pa.Table]:
    """Yield key and url of all rows: of the shards that are planned or adopted by now, then of the dropped rows."""
    for path in [*(shard.path(URLS) for shard in shards_of(run)), run / DROPPED]:
        if path.exists():
            yield read_table(path, ["key", "url"], made_by="plan")


def remove_shards_from(run: Path, count: int) -> int:
    """Remove all files of shards that an earlier plan left, from number `count` on; return how many shards it were."""
    removed = set()
    for path in run.glob("*/*"):
        named = SHARD_FILE.fullmatch(f"{path.parent.name}/{path.name}")
        if named and int(named[2]) >= count and int(named[2]) // FANOUT == int(named[1]):
            path.unlink()
            removed.add(named[2])
    return len(removed)


def write_plan(run: Path, rows: list[dict[str, Any]], *, fingerprint: str) -> None:
    """Commit the plan: the done-mark of the shards that `write_urls` made."""
    write_table(run / PLAN, pa.Table.from_pylist(rows), fingerprint=fingerprint)


@contextmanager
def dropped_writer(run: Path, *, fingerprint: str) -> Iterator[pq.ParquetWriter]:
    """Write the dropped rows in parts, each a table of DROPPED_SCHEMA; committed at the end."""
    schema = DROPPED_SCHEMA.with_metadata({FINGERPRINT: fingerprint})
    with committing(run / DROPPED) as scratch, pq.ParquetWriter(scratch, schema) as writer:
        yield writer


def dropped(run: Path) -> list[dict[str, Any]]:
    """Return all dropped rows, by key."""
    return read_table(run / DROPPED, made_by="plan").to_pylist()


def first_dropped(run: Path, most: int) -> list[dict[str, Any]]:
    """Return the first of the dropped rows, by key; none where there is no such file."""
    if not (run / DROPPED).exists():
        return []
    with pq.ParquetFile(run / DROPPED) as file:
        return next((batch.to_pylist() for batch in file.iter_batches(most)), [])


def dropped_reasons(run: Path) -> Counter[str]:
    """Count the dropped rows by their first reason; none where no plan left any."""
    if not (run / DROPPED).exists():
        return Counter()
    first = pc.list_element(read_table(run / DROPPED, ["reasons"], made_by="plan")["reasons"], 0)
    return Counter({each["values"]: each["counts"] for each in first.value_counts().to_pylist()})


def blank_dropped(run: Path, gone: Callable[[pa.ChunkedArray], np.ndarray]) -> int:
    """Leave of the dropped rows of which `gone(keys)`, (n,) bool, takes the key no more than that; return how many."""
    if not (run / DROPPED).exists():
        return 0
    table = pq.read_table(run / DROPPED, partitioning=None)
    rows = gone(table["key"]) & is_alive(table.drop_columns("reasons"))
    if rows.any():
        reasons = [
            [TAKEN_DOWN] if row else names for row, names in zip(rows, table["reasons"].to_pylist(), strict=True)
        ]
        table = blanked(table, rows).set_column(3, "reasons", pa.array(reasons, pa.list_(pa.string())))
        with dropped_writer(run, fingerprint=read_metadata(run / DROPPED)[FINGERPRINT]) as writer:
            writer.write_table(table.cast(DROPPED_SCHEMA))
    return int(rows.sum())


def dropped_with(run: Path, key: str) -> list[dict[str, Any]]:
    """Return the dropped rows whose key starts with `key`."""
    return rows_of_key(run / DROPPED, key)
