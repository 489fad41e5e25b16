"""Rows spread over files by a number that each of them gets, so that those that belong together meet in memory.

Memory does not grow with the table: a file has about BUCKET_ROWS rows, however many there are in all.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .progress import Progress, pace
from .sql import quoted

BUCKET_ROWS = 500_000
FLUSH_ROWS = 10_000  # by default DuckDB holds half a million rows for each file before they are written
BUCKET = "corgi_bucket"


def count_for(rows: int) -> int:
    """Return over how many files to spread so many rows."""
    return -(-rows // BUCKET_ROWS)


def spread(database: duckdb.DuckDBPyConnection, query: str, number: str, folder: Path) -> None:
    """Write all rows of a query to files in `folder`. number: SQL of a row's file, an integer from 0."""
    database.sql(f"SET partitioned_write_flush_threshold = {FLUSH_ROWS}")
    database.sql(
        f"""COPY (SELECT *, {number} AS {BUCKET} FROM ({query})) TO {quoted(str(folder), mark="'")}
        (FORMAT parquet, PARTITION_BY ({BUCKET}), ROW_GROUP_SIZE 20000)"""
    )


def files_in(folder: Path, number: int) -> list[Path]:
    """Return the files of one number, several where several threads wrote them, none where no row has it."""
    return sorted((folder / f"{BUCKET}={number}").glob("*.parquet"))


def reading(files: list[Path]) -> str:
    """Return what stands after FROM to read files that `spread` wrote."""
    listed = ", ".join(quoted(str(file), mark="'") for file in files)
    return f"read_parquet([{listed}], hive_partitioning=false)"


def rows_of(folder: Path, rejected: pa.Table, number: int) -> pa.Table:
    """Return the rows of one bucket, those that the reader of the table refused among them."""
    parts = [rejected.filter(pc.equal(rejected[BUCKET], number)).drop_columns(BUCKET)]
    parts += [pq.read_table(file, partitioning=None) for file in files_in(folder, number)]
    return pa.concat_tables([part for part in parts if len(part)] or parts, promote_options="default")


def told(buckets: Iterable[pa.Table], progress: Progress, reasons: Counter[str]) -> Iterator[pa.Table]:
    """Yield the buckets; show how many rows are judged, and what became of them. reasons: of those that are dropped."""
    rows, began = 0, time.monotonic()
    for bucket in buckets:
        if len(bucket):  # else it has no columns either
            yield bucket
        rows += len(bucket)
        progress.advance(1, pace(rows, time.monotonic() - began, kept=rows - reasons.total(), lost=reasons))


def cut_evenly(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Yield the rows of all batches, `size` at a time."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) < size:
            continue
        table = pa.Table.from_batches(held)
        while len(table) >= size:
            yield table.slice(0, size)
            table = table.slice(size)
        held = table.to_batches()
    if held:
        yield pa.Table.from_batches(held)
