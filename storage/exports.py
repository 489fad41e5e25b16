"""What an export is cut into: exported shards, each of some rows of some shards of a run.

<export>/<split>/plan.parquet    shard, run, parts: list of (shard, begin, end): ranks among the chosen pairs of a shard
"""

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs import fingerprint

from .plan import PLAN
from .shard import Shard
from .tables import FINGERPRINT, read_metadata, write_table

SPLITS = ("train", "held_out")
README = "README.md"
DATA = "data"
AUDIT = "audit"  # labels of who looked through it, which no export touches
SCHEMA = pa.schema(
    [
        ("shard", pa.int64()),
        ("parts", pa.list_(pa.struct([("shard", pa.int64()), ("begin", pa.int64()), ("end", pa.int64())]))),
    ]
)


class Part(NamedTuple):
    """Some pairs of one shard of the run: those that are chosen, from the begin-th to before the end-th."""

    shard: int
    begin: int
    end: int


def write_cut(folder: Path, cut: list[list[Part]]) -> None:
    """Commit what each exported shard is made from; the same cut leaves the file as it is."""
    rows: list[dict[str, Any]] = [
        {"shard": number, "parts": [part._asdict() for part in parts]} for number, parts in enumerate(cut)
    ]
    mark = fingerprint("cut", [[list(part) for part in parts] for parts in cut])
    if read_metadata(folder / PLAN).get(FINGERPRINT) != mark:
        write_table(folder / PLAN, pa.Table.from_pylist(rows, schema=SCHEMA), fingerprint=mark)


def parts_of(shard: Shard) -> list[Part]:
    """Return what an exported shard is made from."""
    table = pq.read_table(shard.run / PLAN, filters=[("shard", "=", shard.number)], partitioning=None)
    return [Part(**part) for part in table["parts"][0].as_py()]


def table_path(export: Path, split: str, number: int, of: int) -> Path:
    """Return where a parquet file of an export lies, in the way that Hugging Face's hub lays out its own."""
    return export / DATA / f"{split}-{number:05d}-of-{of:05d}.parquet"
