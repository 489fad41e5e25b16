"""What became of every planned pair, and the images of those that arrived.

00042.urls.parquet  the planned pairs: key, url, caption and the table's further columns, sorted by key
00042.tar           key.jpg, key.txt, key.json of every ok pair, in planned order: what webdataset reads
00042_stats.json    what it took: everything that may differ between two runs
00042.parquet       a row for every planned pair, failures with their reason; committed last
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from yarl import URL

from configs import UserError

from . import fates
from .atomic import commit_json, commit_link, committing
from .shard import PAIRS, STATS, TAR, URLS, Shard
from .staging import discard, install, staged
from .stats import Effort, Stats
from .tables import read_table, write_table
from .tar import TarReader, TarWriter

OK = "ok"  # status of a pair whose image is in the tar; any other status is the reason why it is not
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


def planned(shard: Shard) -> pa.Table:
    """Return the planned pairs of a shard."""
    return read_table(shard.path(URLS), made_by="plan")


def read(shard: Shard, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a row for every planned pair, with what became of it."""
    return read_table(shard.path(PAIRS), None if columns is None else list(columns), made_by="download")


def stored(shard: Shard, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the pairs whose image is in the tar, in its order."""
    return _of_status(shard, columns, pc.equal)


def lost(shard: Shard, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the pairs that the download lost; `status` is the reason."""
    return _of_status(shard, columns, pc.not_equal)


def shown(shard: Shard, row: int) -> str:
    """Return a pair's url, or key where it has none, and the detail of its loss."""
    pair = read(shard, ["key", "url", "detail"]).slice(row, 1).to_pylist()[0]
    name = pair["url"] or pair["key"]
    return f"{name}: {pair['detail']}" if pair["detail"] else name


def _of_status(shard: Shard, columns: Sequence[str] | None, fits: Callable[..., Any]) -> pa.Table:
    table = read(shard, None if columns is None else list(dict.fromkeys([*columns, "status"])))
    table = table.filter(fits(table["status"], OK))
    return table if columns is None else table.select(list(columns))


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
    stored_sha256: str | None = None  # these three are found out where the image is written into the shard's own tar
    tar_offset: int | None = None
    tar_size: int | None = None
    effort: Effort = field(default_factory=Effort)
    further: Mapping[str, bytes] = field(default_factory=dict)  # ending -> data of further members of the tar


Add = Callable[[Outcome], None]
Fill = Callable[[list[dict[str, Any]], Add], None]


class Record:
    """Takes outcomes in planned order; images go straight into the tar, rows wait for the table.

    tar: None where the images lie in a tar that exists already, so that outcomes say where.
    """

    def __init__(self, planned_pairs: list[dict[str, Any]], tar: TarWriter | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.stats = Stats()
        self._planned, self._tar = planned_pairs, tar
        self._columns = COLUMNS.names  # made anew at each look

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of the next planned pair."""
        pair = self._planned[len(self.rows)]
        known = vars(outcome)
        row = {name: known.get(name) for name in self._columns}
        if outcome.stored is not None and self._tar is not None:
            row["stored_sha256"] = sha256(outcome.stored).hexdigest()
            row["tar_size"] = len(outcome.stored)
            row["tar_offset"] = self._tar.add(f"{pair['key']}.jpg", data=outcome.stored)
            self._tar.add(f"{pair['key']}.txt", data=pair["caption"].encode())
            self._tar.add(f"{pair['key']}.json", data=_json({**pair, **row}))
            for ending, data in outcome.further.items():
                self._tar.add(f"{pair['key']}.{ending}", data=data)
        self.rows.append(row)
        self.stats.add(host_of(pair["url"]), status=outcome.status, effort=outcome.effort)


def write_shard(shard: Shard, pairs: pa.Table, fill: Fill, **how: Any) -> Counter[str]:
    """Commit a shard's files, see `stage_shard`; a kill leaves those there were or the new ones, never a mix."""
    counts = stage_shard(shard, pairs, fill, **how)
    install(shard)
    return counts


def stage_shard(
    shard: Shard,
    pairs: pa.Table,
    fill: Fill,
    *,
    fingerprint: str,
    engine: str,
    tar_at: Path | None = None,
    earlier: Mapping[str, Any] | None = None,
    asked_with: Mapping[str, Any] | None = None,
) -> Counter[str]:
    """Stage a shard's files from what `fill(planned, add)` adds: the outcome of every planned pair, in order.

    tar_at: a tar that exists already and holds the images; the shard's own is then a link to it, and nothing is copied.
    earlier: what the _stats.json of the shard said so far, where some outcomes are those it had.
    asked_with: settings that are to be known later on, and may differ between two runs of equal bytes.
    """
    schema = joined(pairs.schema)
    planned_pairs = pairs.to_pylist()
    discard(shard)
    if tar_at is None:
        with committing(staged(shard, TAR)) as scratch, scratch.open("wb") as file:
            tar = TarWriter(file)
            record = _filled(planned_pairs, fill, tar)
            tar.close()
    else:
        record = _filled(planned_pairs, fill, None)
        commit_link(staged(shard, TAR), tar_at)
    stats = record.stats.as_json(engine=engine, earlier=earlier or {}, asked_with=asked_with)
    commit_json(staged(shard, STATS), {"shard": shard.number, **stats})
    results = pa.Table.from_pylist(record.rows, schema=COLUMNS)
    table = pa.Table.from_arrays([*pairs.columns, *results.columns], schema=schema)
    summary = fates.as_metadata(table["status"])
    write_table(staged(shard, PAIRS), table, fingerprint=fingerprint, metadata=summary)
    return record.stats.counts


def outcomes_of(table: pa.Table) -> list[Outcome]:
    """Return what became of every pair of a shard's table; no image is read."""
    return [Outcome(**row) for row in table.select(COLUMNS.names).to_pylist()]


def with_image(outcome: Outcome, tar: TarReader) -> Outcome:
    """Return an outcome with the image that it says lies in `tar`, as it was, to be put into another tar."""
    if outcome.tar_offset is None or outcome.tar_size is None:
        return outcome
    return replace(outcome, stored=tar.read(outcome.tar_offset, size=outcome.tar_size))


def _filled(planned_pairs: list[dict[str, Any]], fill: Fill, tar: TarWriter | None) -> Record:
    record = Record(planned_pairs, tar)
    fill(planned_pairs, record.add)
    assert len(record.rows) == len(planned_pairs), "an engine answers for every planned pair"
    return record


def joined(planned_schema: pa.Schema) -> pa.Schema:
    """Return the columns of the table of pairs: all that were planned, then ours."""
    clash = sorted(set(planned_schema.names) & set(COLUMNS.names))
    if clash:
        raise UserError(f"the url table has columns named like results of download, {clash}; rename them in the table")
    return pa.schema([*planned_schema, *COLUMNS])


def _json(row: dict[str, Any]) -> bytes:
    """Return what key.json says: all that is known of the pair but where it lies in this tar."""
    known = {name: value for name, value in row.items() if name not in NOT_IN_JSON and not _is_nothing(value)}
    return json.dumps(known, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))  # JSON has no word for NaN


def host_of(url: str) -> str:
    """Return the host that a url names, "" where it names none."""
    try:
        return URL(url).host or ""
    except (ValueError, IndexError):
        return ""
