"""plan: a url table, of any size, becomes shards of planned pairs.

Pairs get a key, the start of sha256(url, newline, caption), and are sorted by it. A hash spreads the hosts over all
shards, is stable over reruns, and lets one pair be found by bisection. What needs no download to be dropped is dropped
here, with its reasons. Rows are first spread over files by the beginning of their key, half a million each, so memory
does not grow with the table, and disk is needed for one copy of it, for two where tables are joined.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from configs import Config, UserError, fingerprint
from configs.steps import STEPS
from filters.rules import check, holds
from filters.rules import fingerprint as in_order
from storage.plan import DROPPED_SCHEMA, dropped_writer, remove_shards_from, write_plan, write_urls
from storage.shard import Shard
from storage.takedown import TAKEN_DOWN

from . import blocklists
from .blocklists import BLOCKED_HOST, BLOCKED_URL, BlockConfig
from .buckets import BUCKET, count_for, cut_evenly, rows_of, spread, told
from .captions import RAW, with_normalised
from .joins import JoinConfig, join_out_of_core, joined_schema, open_join
from .progress import Progress, most
from .step import TableStep
from .table_digests import digests, keep_digests
from .table_files import TableFile, files_of
from .table_readers import size_of
from .url_tables import errors_of, source, with_captions

VERSION = 2  # since 2 captions are normalised
BATCH = 10_000
KEY_CHARS = 24  # 96 bits: a chance of 6e-12 for one clash among 1e9 pairs
KEY = f"left(sha256(url || chr(10) || caption), {KEY_CHARS})"

SCHEME = "regexp_matches(url, '^[a-z][a-z0-9+.-]*:.', 'i')"
WITH_HOST = "regexp_matches(url, '^https?://[^/?#]', 'i')"
HTTP = "regexp_matches(url, '^https?:', 'i')"
NOT_OURS = "COLUMNS(lambda name: NOT starts_with(name, 'corgi_'))"
# Reasons of the plan itself, in the order in which losses are counted; the config's rules follow.
BUILT_IN = {
    TAKEN_DOWN: "NOT corgi_taken_down",
    "unreadable": "NOT corgi_unreadable",
    "bad_url": f"{SCHEME} AND ({WITH_HOST} OR NOT {HTTP})",
    "bad_scheme": HTTP,
    "no_caption": "trim(caption) <> ''",
    "blocked_url": f"NOT {BLOCKED_URL}",
    "blocked_host": f"NOT {BLOCKED_HOST}",
    "duplicate_pair": "corgi_copy = 1",
}


class PlanConfig(Config):
    """How the url table is cut into shards, and what is dropped before any byte is fetched."""

    shard_size: int = Field(default=10_000, ge=1)  # planned pairs in a shard
    url: str | None = Field(default=None, examples=["image_url"])  # the table's column; null: the usual names, as URL
    caption: str | None = Field(default=None, examples=["alt_text"])  # its column; null: the usual names, as TEXT
    join: list[JoinConfig] = []  # further tables, whose columns are put beside the url table's
    # Further columns that are captions, too, in the table or joined; NULL where a pair has none.
    captions: list[str] = Field(default=[], examples=[["llava"]])
    block: BlockConfig = BlockConfig()  # lists of urls and hosts that are never asked for
    # Name -> SQL over the table's lower-cased columns that must hold.
    rules: dict[str, str] = Field(default={}, examples=[{"similar": "similarity >= 0.3"}])
    memory_gb: float = Field(default=0.5, gt=0)  # DuckDB's own; it spills to disk beyond this


@dataclass(frozen=True)
class Plan(TableStep):
    """The table step `plan`. Commits one row a shard after all shards."""

    entry = STEPS["plan"]
    run: Path
    table: list[str]
    plan: PlanConfig

    def fingerprint(self) -> str:
        """Cover the planning rules and the tables' own digests."""
        plan = self.plan.model_dump(include={"shard_size", "url", "caption"})
        joins = [[join.on, join.columns, digests(files_of(join.table), self.run)] for join in self.plan.join]
        lists = [digests(files, self.run) for files in blocklists.files_of_lists(self.plan.block)]
        further = [joins, [[name, "normalised"] for name in self.plan.captions], lists if any(lists) else []]
        files = files_of(self.table)
        is_text = files[0].kind not in ("parquet", "arrow")
        mended = {"NaN is not fit": self.plan.rules, "7.0 is 7": self.plan.join, "0.3 is not 0": is_text}
        # A plan that nothing of this concerns is what it was before there was any.
        parts: list[object] = [further] if any(further) else []
        parts += [words for words, concerned in mended.items() if concerned]
        return fingerprint("plan", VERSION, plan, in_order(self.plan.rules), digests(files, self.run), *parts)

    def __call__(self) -> Counter[str]:
        """Write the shards' url tables, what was dropped, and last the plan.

        An earlier plan goes first, so that none is ever left beside shards that it did not cut.
        """
        files = files_of(self.table)
        self._check_rules()
        self.run.mkdir(parents=True, exist_ok=True)
        mark, reasons = self.fingerprint(), Counter[str]()
        keep_digests(self._all_files(), self.run)
        with (
            self._database(files) as database,
            dropped_writer(self.run, fingerprint=mark) as writer,
            Progress("plan", total=1 + count_for(size_of(files)), unit="parts") as progress,
        ):
            buckets = self._load(database, files)
            progress.advance(1)
            self.path.unlink(missing_ok=True)
            buckets = told(buckets, progress, reasons)
            kept = (batch for bucket in buckets for batch in self._judged(database, bucket, writer, reasons))
            cut = enumerate(cut_evenly(kept, self.plan.shard_size))
            rows = [write_urls(Shard(self.run, number), pairs, fingerprint=mark) for number, pairs in cut]
        if not rows:
            why = f"no pair is left after planning: {most(reasons)}" if reasons else "there are no rows"
            raise UserError(f"{', '.join(self.table)}: {why}")
        if earlier := remove_shards_from(self.run, len(rows)):
            print(f"plan: {earlier} shards of an earlier plan are removed, with all that was made from them")
        write_plan(self.run, rows, fingerprint=mark)
        return Counter(planned=sum(row["pairs"] for row in rows)) + reasons

    def _all_files(self) -> list[TableFile]:
        tables = [self.table, *(join.table for join in self.plan.join)]
        lists = blocklists.files_of_lists(self.plan.block)
        return [file for files in (*map(files_of, tables), *lists) for file in files]

    def _check_rules(self) -> None:
        check(self.plan.rules, schema_of(self.table, self.plan))
        taken = sorted(set(self.plan.rules) & set(BUILT_IN))
        if taken:
            raise UserError(f"plan.rules: {taken} are reasons of the plan's own; give yours other names")

    @contextmanager
    def _database(self, files: list[TableFile]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a database with a scratch folder of its own, which goes with it."""
        settings = {"memory_limit": f"{self.plan.memory_gb}GB", "temp_directory": str(self._scratch / "spilled")}
        if self._scratch.is_symlink():  # somebody else's: what it leads to is left as it is
            self._scratch.unlink()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        try:
            with (
                errors_of(files),
                duckdb.connect(config={**settings, "preserve_insertion_order": "true"}) as database,
            ):
                yield database
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def _blocks(self) -> bool:
        return bool(self.plan.block.urls or self.plan.block.hosts)

    @property
    def _scratch(self) -> Path:
        return self.run / ".plan.scratch"

    def _load(self, database: duckdb.DuckDBPyConnection, files: list[TableFile]) -> Iterator[pa.Table]:
        """Spread all rows over files by the beginning of their key; return each file's rows, in the order of keys.

        Equal keys meet in one file, so that each can be judged alone, however large the table is.
        """
        folder = self._scratch / "buckets"
        tables = source(database, files, self._scratch / "tables", **_columns(self.plan))
        for note in tables.notes:
            print(f"plan: {note}")
        size = size_of(files)
        count = count_for(size)
        place = f"(('0x' || left(key, 4))::INTEGER * {count}) >> 16"
        keyed = f"SELECT {KEY} AS key, *, row_number() OVER () AS corgi_position"
        rows = self._with_joins(database, f"{keyed} FROM ({tables.rows})", size)
        spread(database, with_captions(database, rows, self.plan.captions), place, folder)
        rejected = pa.table({BUCKET: pa.array([], pa.int32())})
        if tables.rejected:
            query = f"SELECT *, {place} AS {BUCKET} FROM ({keyed} FROM ({tables.rejected}))"
            rejected = database.sql(query).to_arrow_table()
        if self._blocks:
            blocklists.load(database, self.plan.block, self._scratch / "lists")
        return (rows_of(folder, rejected, number) for number in range(count))

    def _with_joins(self, database: duckdb.DuckDBPyConnection, rows: str, size: int) -> str:
        """Return the query of all rows with the columns of all joined tables."""
        for number, config in enumerate(self.plan.join):
            scratch = self._scratch / f"join-{number}"
            columns = database.sql(rows).columns
            join = open_join(database, config, columns, scratch, name=f"joined_{number}")
            rows, notes = join_out_of_core(database, rows, size, join, scratch)
            shutil.rmtree(self._scratch / f"join-{number - 1}", ignore_errors=True)
            for note in notes:
                print(f"plan: {note}")
        return rows

    def _judged(
        self, database: duckdb.DuckDBPyConnection, rows: pa.Table, writer: pq.ParquetWriter, reasons: Counter[str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the planned pairs among some rows by key; write the others with all their reasons, count the first."""
        rows, rules = with_normalised(rows, self.plan.captions), BUILT_IN.copy()
        for name, held in holds(rows, self.plan.rules).items():
            rules[name] = f"corgi_holds_{name}"
            rows = rows.append_column(rules[name], held)
        tests = [f"CASE WHEN {rule} THEN NULL ELSE '{name}' END" for name, rule in rules.items()]
        failed = f"list_filter([{', '.join(tests)}], lambda reason: reason IS NOT NULL)"
        copy = "row_number() OVER (PARTITION BY key ORDER BY corgi_position) AS corgi_copy"
        database.register("rows", rows)
        marked = blocklists.mark(database, "rows") if self._blocks else blocklists.unmarked("rows")
        counted = f"SELECT *, {copy}, {blocklists.taken_down(database, self.run)} AS corgi_taken_down FROM ({marked})"
        database.sql(f"CREATE OR REPLACE TEMP TABLE judged AS SELECT *, {failed} AS corgi_reasons FROM ({counted})")
        texts = [("url", "url"), (RAW, "caption")]  # of a row that is dropped, as the table has it
        shown = [f"CASE WHEN corgi_taken_down THEN '' ELSE {name} END AS {ours}" for name, ours in texts]
        named = f"key, {', '.join(shown)}, corgi_reasons AS reasons"
        dropped = f"SELECT {named} FROM judged WHERE len(corgi_reasons) > 0"
        for batch in database.sql(f"{dropped} ORDER BY key, corgi_position").to_arrow_reader(BATCH):
            writer.write_table(pa.Table.from_batches([batch]).cast(DROPPED_SCHEMA))
            reasons.update(names[0] for names in batch.column("reasons").to_pylist())
        planned = f"SELECT {NOT_OURS} FROM judged WHERE len(corgi_reasons) = 0 ORDER BY key"
        yield from database.sql(planned).to_arrow_reader(BATCH)


def schema_of(table: list[str], plan: PlanConfig) -> pa.Schema:
    """Return the columns of planned pairs, read from the heads of all tables alone."""
    files = files_of(table)
    with errors_of(files), TemporaryDirectory() as folder, duckdb.connect() as database:
        scratch = Path(folder)
        opened = source(database, files, scratch, only_head=True, **_columns(plan))
        rows = f"SELECT '' AS key, * FROM ({opened.rows})"
        for number, config in enumerate(plan.join):
            columns = database.sql(rows).columns
            join = open_join(database, config, columns, scratch, name=f"joined_{number}", only_head=True)
            rows = joined_schema(rows, join)
        planned = f"SELECT {NOT_OURS} FROM ({with_captions(database, rows, plan.captions)}) LIMIT 0"
        return with_normalised(database.sql(planned).to_arrow_table(), plan.captions).schema


def _columns(plan: PlanConfig) -> dict[str, Any]:
    """Return what the config says of the url table's columns."""
    return {"url": plan.url, "caption": plan.caption, "as_text": [*(join.on for join in plan.join), *plan.captions]}
