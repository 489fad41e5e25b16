"""plan: a url table, of any size, becomes shards of planned pairs.

Pairs get a key, the start of sha256(url, newline, caption), and are sorted by it. A hash spreads the hosts over all
shards, is stable over reruns, and lets one pair be found by bisection. What needs no download to be dropped is dropped
here, with its reasons. DuckDB does the sorting and spills to disk, so memory does not grow with the table.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from pydantic import Field

from configs import Config, UserError, fingerprint
from configs.steps import STEPS
from filters.rules import check
from filters.rules import fingerprint as in_order
from storage.plan import DROPPED_SCHEMA, dropped_writer, remove_shards_from, write_plan, write_urls
from storage.shard import Shard

from .step import TableStep
from .url_tables import digests, errors_of, keep_digests, source

VERSION = 1
KEY_CHARS = 24  # 96 bits: a chance of 6e-12 for one clash among 1e9 pairs

SCHEME = "regexp_matches(url, '^[a-z][a-z0-9+.-]*:.', 'i')"
WITH_HOST = "regexp_matches(url, '^https?://[^/?#]', 'i')"
HTTP = "regexp_matches(url, '^https?:', 'i')"
NOT_OURS = "COLUMNS(lambda name: NOT starts_with(name, 'corgi_'))"
# Reasons of the plan itself, in the order in which losses are counted; the config's rules follow.
BUILT_IN = {
    "unreadable": "NOT corgi_unreadable",
    "bad_url": f"{SCHEME} AND ({WITH_HOST} OR NOT {HTTP})",
    "bad_scheme": HTTP,
    "no_caption": "trim(caption) <> ''",
    "duplicate_pair": "corgi_copy = 1",
}


class PlanConfig(Config):
    """How the url table is cut into shards, and what is dropped before any byte is fetched."""

    shard_size: int = Field(default=10_000, ge=1)  # planned pairs in a shard
    url: str | None = None  # the table's column; None: url or URL
    caption: str | None = None  # None: caption, TEXT or text
    rules: dict[str, str] = {}  # name -> SQL over the table's lower-cased columns that must hold
    memory_gb: float = Field(default=4, gt=0)  # DuckDB spills to disk beyond this


@dataclass(frozen=True)
class Plan(TableStep):
    """The table step `plan`. Commits one row a shard after all shards."""

    entry = STEPS["plan"]
    run: Path
    table: list[Path]
    plan: PlanConfig

    def fingerprint(self) -> str:
        """Cover the planning rules and the tables' own digests."""
        plan = self.plan.model_dump(exclude={"memory_gb", "rules"})
        return fingerprint("plan", VERSION, plan, in_order(self.plan.rules), digests(self.table, self.run))

    def __call__(self) -> Counter[str]:
        """Write the shards' url tables, what was dropped, and last the plan.

        An earlier plan goes first, so that none is ever left beside shards that it did not cut.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        mark = self.fingerprint()
        keep_digests(self.table, self.run)
        with self._database() as database:
            self._stage(database)
            self.path.unlink(missing_ok=True)
            reasons = _write_dropped(database, self.run, mark)
            parts = enumerate(_cut(database, self.plan.shard_size))
            rows = [write_urls(Shard(self.run, number), pairs, fingerprint=mark) for number, pairs in parts]
        if not rows:
            raise UserError(f"no pair of {', '.join(map(str, self.table))} is left after planning: {dict(reasons)}")
        if earlier := remove_shards_from(self.run, len(rows)):
            print(f"plan: {earlier} shards of an earlier plan are removed, with all that was made from them")
        write_plan(self.run, rows, fingerprint=mark)
        return Counter(planned=sum(row["pairs"] for row in rows)) + reasons

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a database that spills into the run folder."""
        settings = {"memory_limit": f"{self.plan.memory_gb}GB", "temp_directory": str(self.run / ".plan.scratch")}
        with errors_of(self.table), duckdb.connect(config={**settings, "preserve_insertion_order": "true"}) as database:
            yield database

    def _stage(self, database: duckdb.DuckDBPyConnection) -> None:
        """Make the table `staged`: key, url, caption, further columns, and ours: position, copy, failing reasons."""
        self._load(database)
        database.sql("SET enable_external_access = false; SET lock_configuration = true")  # rules are a stranger's
        database.sql(
            f"""CREATE TEMP TABLE keyed AS SELECT left(sha256(url || chr(10) || caption), {KEY_CHARS}) AS key, *,
            row_number() OVER (PARTITION BY url, caption ORDER BY corgi_position) AS corgi_copy FROM raw"""
        )
        check(self.plan.rules, database.sql(f"SELECT {NOT_OURS} FROM keyed LIMIT 0").to_arrow_table().schema)
        taken = sorted(set(self.plan.rules) & set(BUILT_IN))
        if taken:
            raise UserError(f"plan.rules: {taken} are reasons of the plan's own; give yours other names")
        rules = {**BUILT_IN, **self.plan.rules}
        tests = [f"CASE WHEN coalesce(({rule}), false) THEN NULL ELSE '{name}' END" for name, rule in rules.items()]
        failed = f"list_filter([{', '.join(tests)}], lambda reason: reason IS NOT NULL)"
        database.sql(f"CREATE TEMP TABLE staged AS SELECT *, {failed} AS corgi_reasons FROM keyed")

    def _load(self, database: duckdb.DuckDBPyConnection) -> None:
        """Make the table `raw` of all rows, numbered in their order."""
        tables = source(database, self.table, url=self.plan.url, caption=self.plan.caption)
        database.sql(f"CREATE TEMP TABLE raw AS SELECT row_number() OVER () AS corgi_position, * FROM ({tables.rows})")
        if tables.rejected:
            position = "(SELECT count(*) FROM raw) + row_number() OVER () AS corgi_position"
            database.sql(f"INSERT INTO raw BY NAME SELECT {position}, * FROM ({tables.rejected})")
        for name, ours in tables.renamed.items():
            print(f"plan: the table's column {name!r} is called {ours} here: {name.lower()} is a column of ours")


def _write_dropped(database: duckdb.DuckDBPyConnection, run: Path, mark: str) -> Counter[str]:
    """Write every dropped row with all its reasons; count it under the first."""
    rows = database.sql(
        "SELECT key, url, caption, corgi_reasons AS reasons FROM staged WHERE len(corgi_reasons) > 0"
        " ORDER BY key, corgi_position"
    )
    counts: Counter[str] = Counter()
    with dropped_writer(run, fingerprint=mark) as writer:
        for batch in rows.to_arrow_reader(10_000):
            writer.write_table(pa.Table.from_batches([batch]).cast(DROPPED_SCHEMA))
            counts.update(reasons[0] for reasons in batch.column("reasons").to_pylist())
    return counts


def _cut(database: duckdb.DuckDBPyConnection, size: int) -> Iterator[pa.Table]:
    """Yield the planned pairs by key, `size` at a time."""
    rows = database.sql(f"SELECT {NOT_OURS} FROM staged WHERE len(corgi_reasons) = 0 ORDER BY key")
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
