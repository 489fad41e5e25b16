"""The files of a downloaded shard, the same for both engines.

00042.tar         key.jpg, key.txt, key.json of every ok pair, in planned order
00042_stats.json  what it took
00042.parquet     a row for every planned pair; committed last
"""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pyarrow as pa
from yarl import URL

from configs import UserError
from pipeline.files import commit_json, committing, write_table
from pipeline.shard import PAIRS, STATS, TAR, Shard
from pipeline.tar import TarWriter

from .stats import Effort, Stats

OK = "ok"
COLUMNS = pa.schema(
    [
        ("status", pa.string()),  # ok or a reason
        ("http_status", pa.int32()),  # of the last answer
        ("content_type", pa.string()),
        ("final_url", pa.string()),  # the last one asked for
        ("fetched_bytes", pa.int64()),  # of a whole body
        ("fetched_sha256", pa.string()),
        ("original_width", pa.int32()),  # as the header declares, before any EXIF orientation
        ("original_height", pa.int32()),
        ("format", pa.string()),
        ("stored_width", pa.int32()),
        ("stored_height", pa.int32()),
        ("stored_sha256", pa.string()),
        ("tar_offset", pa.int64()),  # of the .jpg member's data
        ("tar_size", pa.int64()),
        ("detail", pa.string()),  # a line for people
    ]
)
NOT_IN_JSON = ("tar_offset", "tar_size", "detail")


@dataclass(kw_only=True)
class Outcome:
    """What became of one planned pair."""

    status: str
    detail: str | None = None
    http_status: int | None = None
    content_type: str | None = None
    final_url: str | None = None
    fetched_bytes: int | None = None
    fetched_sha256: str | None = None
    original_width: int | None = None
    original_height: int | None = None
    format: str | None = None
    stored: bytes | None = None  # the JPEG, for ok pairs only
    stored_width: int | None = None
    stored_height: int | None = None
    effort: Effort = field(default_factory=Effort)


Add = Callable[[Outcome], None]
Fill = Callable[[list[dict[str, Any]], Add], None]


class Record:
    """Takes outcomes in planned order; pictures go straight into the tar, rows wait for the table."""

    def __init__(self, planned: list[dict[str, Any]], tar: TarWriter) -> None:
        self.rows: list[dict[str, Any]] = []
        self.stats = Stats()
        self._planned, self._tar = planned, tar

    def add(self, outcome: Outcome) -> None:
        """The outcome of the next planned pair."""
        pair = self._planned[len(self.rows)]
        row = {name: getattr(outcome, name, None) for name in COLUMNS.names}
        if outcome.stored is not None:
            row["stored_sha256"] = sha256(outcome.stored).hexdigest()
            row["tar_size"] = len(outcome.stored)
            row["tar_offset"] = self._tar.add(f"{pair['key']}.jpg", data=outcome.stored)
            self._tar.add(f"{pair['key']}.txt", data=pair["caption"].encode())
            self._tar.add(f"{pair['key']}.json", data=_json({**pair, **row}))
        self.rows.append(row)
        self.stats.add(_host(pair["url"]), status=outcome.status, effort=outcome.effort)


def write_shard(shard: Shard, pairs: pa.Table, fill: Fill, *, fingerprint: str, engine: str) -> Counter[str]:
    """Lets `fill(planned, add)` add the outcome of every planned pair in order, and commits the files.

    The old done-mark goes before the new tar comes, so that no row ever points into a tar it was not made with.
    """
    schema = joined(pairs.schema)
    planned = pairs.to_pylist()
    with committing(shard.path(TAR)) as scratch:
        with scratch.open("wb") as file:
            tar = TarWriter(file)
            record = Record(planned, tar)
            fill(planned, record.add)
            tar.close()
        assert len(record.rows) == len(planned), "an engine answers for every planned pair"
        shard.path(PAIRS).unlink(missing_ok=True)
    commit_json(shard.path(STATS), {"shard": shard.number, **record.stats.as_json(engine=engine)})
    results = pa.Table.from_pylist(record.rows, schema=COLUMNS)
    table = pa.Table.from_arrays([*pairs.columns, *results.columns], schema=schema)
    write_table(shard.path(PAIRS), table, fingerprint=fingerprint)
    return record.stats.counts


def joined(planned: pa.Schema) -> pa.Schema:
    """The columns of the table of pairs: all that were planned, then ours."""
    clash = sorted(set(planned.names) & set(COLUMNS.names))
    if clash:
        raise UserError(f"the url table has columns named like results of download, {clash}; rename them in the table")
    return pa.schema([*planned, *COLUMNS])


def _json(row: dict[str, Any]) -> bytes:
    """What key.json says: all that is known of the pair but where it lies in this tar."""
    said = {name: value for name, value in row.items() if name not in NOT_IN_JSON and not _nothing(value)}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))  # JSON has no word for NaN


def _host(url: str) -> str:
    try:
        return URL(url).host or ""
    except (ValueError, IndexError):
        return ""
