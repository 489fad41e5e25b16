"""plan: a url table, of any size, becomes shards of planned pairs.

Pairs get a key, the start of sha256(url, newline, caption), and are sorted by it. A hash spreads the hosts over all
shards, is stable over reruns, and lets one pair be found by bisection. What needs no download to be dropped is dropped
here, with its reasons. DuckDB does the sorting and spills to disk, so memory does not grow with the table.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError, fingerprint
from filters.expression import first_line
from filters.rules import check
from filters.rules import fingerprint as in_order

from .config import PipelineConfig
from .files import committing, write_table
from .shard import URLS, Shard
from .tables import digests, keep_digests, source

VERSION = 1
KEY_CHARS = 24  # 96 bits: a chance of 6e-12 for one clash among 1e9 pairs
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
    "duplicate_pair": "corgi_copy = 1",
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
            "plan", VERSION, plan, in_order(self.config.plan.rules), digests(self.config.table, self.config.run)
        )

    def __call__(self) -> Counter[str]:
        """Writes the shards' url tables, what was dropped, and last the plan.

        An earlier plan goes first, so that none is ever left beside shards that it did not cut.
        """
        run, mark = self.config.run, self.fingerprint()
        run.mkdir(parents=True, exist_ok=True)
        keep_digests(self.config.table, run)
        with _database(self.config) as database:
            _stage(database, self.config)
            self.writes.unlink(missing_ok=True)
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


@contextmanager
def _database(config: PipelineConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that spills into the run folder. Its errors are told as a person's: they speak of the tables."""
    scratch = config.run / ".plan.scratch"
    settings = {"memory_limit": f"{config.plan.memory_gb}GB", "temp_directory": str(scratch)}
    try:
        with duckdb.connect(config={**settings, "preserve_insertion_order": "true"}) as database:
            yield database
    except duckdb.Error as error:
        tables = ", ".join(map(str, config.table))
        raise UserError(f"{tables} cannot be planned: {first_line(error)}", exit_code=1) from None


def _stage(database: duckdb.DuckDBPyConnection, config: PipelineConfig) -> None:
    """Table `staged`: key, url, caption, further columns, and ours: position, copy and the failing reasons of a row."""
    database.sql(
        f"""CREATE TEMP TABLE raw AS
        SELECT row_number() OVER () AS corgi_position, * FROM ({source(database, config.table, config.plan)})"""
    )
    database.sql(
        f"""CREATE TEMP TABLE keyed AS SELECT left(sha256(url || chr(10) || caption), {KEY_CHARS}) AS key, *,
        row_number() OVER (PARTITION BY url, caption ORDER BY corgi_position) AS corgi_copy FROM raw"""
    )
    known = database.sql("SELECT * EXCLUDE (corgi_position, corgi_copy) FROM keyed LIMIT 0").to_arrow_table().schema
    check(config.plan.rules, known)
    taken = sorted(set(config.plan.rules) & set(BUILT_IN))
    if taken:
        raise UserError(f"plan.rules: {taken} are reasons of the plan's own; give yours other names")
    rules = {**BUILT_IN, **config.plan.rules}
    tests = [f"CASE WHEN coalesce(({rule}), false) THEN NULL ELSE '{name}' END" for name, rule in rules.items()]
    failed = f"list_filter([{', '.join(tests)}], lambda reason: reason IS NOT NULL)"
    database.sql(f"CREATE TEMP TABLE staged AS SELECT *, {failed} AS corgi_reasons FROM keyed")


def _write_dropped(database: duckdb.DuckDBPyConnection, path: Path, mark: str) -> Counter[str]:
    """Every dropped row with all its reasons; counts under the first."""
    rows = database.sql(
        "SELECT key, url, caption, corgi_reasons AS reasons FROM staged WHERE len(corgi_reasons) > 0"
        " ORDER BY key, corgi_position"
    )
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
    rows = database.sql(
        "SELECT * EXCLUDE (corgi_position, corgi_copy, corgi_reasons) FROM staged WHERE len(corgi_reasons) = 0"
        " ORDER BY key"
    )
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
