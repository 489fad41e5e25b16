"""plan: a url table, of any size, becomes shards of planned pairs.

Pairs get a key, the start of sha256(url, newline, caption), and are sorted by it. A hash spreads the hosts over all
shards, is stable over reruns, and lets one pair be found by bisection. What needs no download to be dropped is dropped
here, with its reasons. DuckDB does the sorting and spills to disk, so memory does not grow with the table.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError, fingerprint, nearest
from filters.rules import check_expression
from filters.rules import fingerprint as in_order

from .config import PipelineConfig
from .files import committing, sha256_file, write_table
from .shard import URLS, Shard

VERSION = 1
KEY_CHARS = 24  # 96 bits: a chance of 6e-12 for one clash among 1e9 pairs
URL_NAMES = ("url", "URL")
CAPTION_NAMES = ("caption", "TEXT", "text")
DROPPED = "plan.dropped.parquet"
PLAN = "plan.parquet"

SCHEME = "regexp_matches(url, '^[a-z][a-z0-9+.-]*:.', 'i')"
WITH_HOST = "regexp_matches(url, '^https?://[^/?#]', 'i')"
HTTP = "regexp_matches(url, '^https?:', 'i')"
# Reasons of the plan itself, in the order in which losses are counted; the config's rules follow.
BUILT_IN = {
    "bad_url": f"{SCHEME} AND ({WITH_HOST} OR NOT {HTTP})",
    "bad_scheme": HTTP,
    "no_caption": "trim(caption) <> ''",
    "duplicate_pair": "copy = 1",
}


def key_of(url: str, caption: str) -> str:
    """The id of a pair: stable over reruns, and the key for `why` and for takedown. 24 hex digits."""
    return sha256(f"{url}\n{caption}".encode()).hexdigest()[:KEY_CHARS]


def shards_of(run: Path) -> list[Shard]:
    """All shards of a planned run, from the plan alone."""
    try:
        count = pq.read_metadata(run / PLAN).num_rows
    except FileNotFoundError:
        raise UserError(f'{run / PLAN} is not there; run "corgi plan" first') from None
    return [Shard(run, number) for number in range(count)]


@dataclass(frozen=True)
class Plan:
    """The table step `plan`."""

    config: PipelineConfig
    name: str = "plan"

    @property
    def writes(self) -> Path:
        """One row a shard; committed after all shards."""
        return self.config.run / PLAN

    def fingerprint(self) -> str:
        """Of the planning rules and of the table's own digest."""
        plan = self.config.plan.model_dump(exclude={"memory_gb", "rules"})
        return fingerprint(
            "plan", VERSION, plan, in_order(self.config.plan.rules), [_digest(path) for path in self.config.table]
        )

    def __call__(self) -> Counter[str]:
        """Writes the shards' url tables, what was dropped, and last the plan."""
        run, mark = self.config.run, self.fingerprint()
        run.mkdir(parents=True, exist_ok=True)
        with _database(self.config) as database:
            _stage(database, self.config)
            reasons = _write_dropped(database, run / DROPPED, mark)
            rows = [
                _write_shard(Shard(run, n), t, mark) for n, t in enumerate(_cut(database, self.config.plan.shard_size))
            ]
        if not rows:
            raise UserError(
                f"no pair of {', '.join(map(str, self.config.table))} is left after planning: {dict(reasons)}"
            )
        write_table(self.writes, pa.Table.from_pylist(rows), fingerprint=mark)
        return Counter(planned=sum(int(row["pairs"]) for row in rows)) + reasons


def _digest(path: Path) -> str:
    """Of a parquet table its footer says enough: it holds sizes and bounds of every column chunk."""
    if not path.exists():
        raise UserError(f"{path}: no such table; `table` in the config takes parquet, csv or jsonl files")
    if path.suffix != ".parquet":
        return sha256_file(path)
    with path.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        return sha256(file.read()).hexdigest()


def _database(config: PipelineConfig) -> duckdb.DuckDBPyConnection:
    scratch = config.run / ".plan.scratch"
    settings = {"memory_limit": f"{config.plan.memory_gb}GB", "temp_directory": str(scratch)}
    return duckdb.connect(config={**settings, "preserve_insertion_order": "true"})


def _stage(database: duckdb.DuckDBPyConnection, config: PipelineConfig) -> None:
    """Table `staged`: position, key, url, caption, further columns lower-cased, and the failing reasons of each row."""
    readers = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json"}
    suffix = config.table[0].suffix
    if suffix not in readers:
        raise UserError(f"{config.table[0]}: a table is .parquet, .csv or .jsonl, not {suffix!r}")
    source = f"{readers[suffix]}({[str(path) for path in config.table]!r})"
    columns = database.sql(f"SELECT * FROM {source} LIMIT 0").columns
    url = _column(columns, config.plan.url, URL_NAMES, "url", config.table[0])
    caption = _column(columns, config.plan.caption, CAPTION_NAMES, "caption", config.table[0])
    further = ", ".join(f'"{c}" AS "{c.lower()}"' for c in columns if c not in (url, caption))
    database.sql(
        f"""CREATE TEMP TABLE raw AS SELECT row_number() OVER () AS position,
        coalesce(trim(CAST("{url}" AS VARCHAR)), '') AS url, coalesce(CAST("{caption}" AS VARCHAR), '') AS caption
        {", " + further if further else ""} FROM {source}"""
    )
    database.sql(
        f"""CREATE TEMP TABLE keyed AS SELECT left(sha256(url || chr(10) || caption), {KEY_CHARS}) AS key, *,
        row_number() OVER (PARTITION BY url, caption ORDER BY position) AS copy FROM raw"""
    )
    known = database.sql("SELECT * FROM keyed LIMIT 0").columns
    for name, rule in config.plan.rules.items():
        check_expression(name, rule, known)
    rules = {**BUILT_IN, **config.plan.rules}
    tests = [f"CASE WHEN coalesce(({rule}), false) THEN NULL ELSE '{name}' END" for name, rule in rules.items()]
    failed = f"list_filter([{', '.join(tests)}], lambda reason: reason IS NOT NULL)"
    database.sql(f"CREATE TEMP TABLE staged AS SELECT *, {failed} AS reasons FROM keyed")


def _column(columns: list[str], wanted: str | None, names: tuple[str, ...], what: str, table: Path) -> str:
    found = [wanted] if wanted in columns else [name for name in names if name in columns and wanted is None]
    if found:
        return str(found[0])
    raise UserError(f"{table} has no {what} column {wanted or ' or '.join(names)!r}{nearest(wanted or what, columns)}")


def _write_dropped(database: duckdb.DuckDBPyConnection, path: Path, mark: str) -> Counter[str]:
    """Every dropped row with all its reasons; counts under the first."""
    rows = database.sql("SELECT key, url, caption, reasons FROM staged WHERE len(reasons) > 0 ORDER BY key, position")
    schema = pa.schema(
        [("key", "string"), ("url", "string"), ("caption", "string"), ("reasons", pa.list_(pa.string()))]
    )
    counts: Counter[str] = Counter()
    with (
        committing(path) as scratch,
        pq.ParquetWriter(scratch, schema.with_metadata({"corgi.fingerprint": mark})) as writer,
    ):
        for batch in rows.to_arrow_reader(10_000):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            counts.update(reasons[0] for reasons in batch.column("reasons").to_pylist())
    return counts


def _cut(database: duckdb.DuckDBPyConnection, size: int) -> Iterator[pa.Table]:
    """The planned pairs by key, `size` at a time."""
    rows = database.sql("SELECT * EXCLUDE (position, copy, reasons) FROM staged WHERE len(reasons) = 0 ORDER BY key")
    held: list[pa.RecordBatch] = []
    for batch in rows.to_arrow_reader(size):
        held.append(batch)
        table = pa.Table.from_batches(held)
        while len(table) >= size:
            yield table.slice(0, size)
            table = table.slice(size)
        held = table.to_batches()
    if held:
        yield pa.Table.from_batches(held)


def _write_shard(shard: Shard, pairs: pa.Table, mark: str) -> dict[str, str | int]:
    write_table(shard.path(URLS), pairs, fingerprint=mark)
    return {"shard": shard.number, "first_key": pairs["key"][0].as_py(), "pairs": len(pairs)}
