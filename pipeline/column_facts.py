"""`corgi config columns`: which columns rules may use, where they come from, and what they hold where a run has them.

column         type    from             range             NULL  example
caption_words  int32   score: caption   1 .. 41            0 %  4
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError, printable, shortened
from filters.scorers import columns_by_scorer
from storage import duplicates, pairs
from storage.plan import PLAN, shards_of
from storage.shard import PAIRS, SCORES, Shard

from .columns import OF_DEDUP, judged
from .config import PipelineConfig
from .plan import schema_of
from .rule_columns import constant_columns, planned_schema
from .select import candidates_of
from .status import load_config

MAX_SHARDS = 20  # that are looked at, spread over the run
VALUE_CHARS = 40
HEAD = ("column", "type", "from", "range", "NULL", "example")


class Facts(NamedTuple):
    """What some pairs have in a column; all empty where no pair is there yet."""

    range: str = ""
    null: str = ""
    example: str = ""


def told(source: Path) -> str:
    """Return a line a column. source: folder of a run, or YAML of a pipeline. Raises UserError."""
    config = load_config(source)
    shards = _looked_at(config)
    planned = pairs.planned(shards[0]).schema if shards and source.is_dir() else planned_schema(config)
    tables = [_rows(shard) for shard in shards]
    origins = _origins(config, planned)
    rows = [HEAD]
    for field in judged(planned, config.score):
        values = [table[field.name] for table in tables if field.name in table.column_names]
        rows.append((field.name, str(field.type), origins[field.name], *(_facts(values) if values else Facts())))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_notes(config, shards, sum(map(len, tables)))])


def _looked_at(config: PipelineConfig) -> list[Shard]:
    """Return some shards of the run whose pairs are planned or adopted, spread over all of them."""
    if not (config.run / PLAN).exists():
        return []
    shards = shards_of(config.run)
    some = shards[:: -(-len(shards) // MAX_SHARDS)]
    return some if config.way == "table" else [shard for shard in some if shard.path(PAIRS).exists()]


def _rows(shard: Shard) -> pa.Table:
    """Return a shard's pairs with the columns that there are by now; once it is downloaded, those with an image."""
    if not shard.path(PAIRS).exists():
        return pairs.planned(shard)
    if not shard.path(SCORES).exists() or not (shard.run / duplicates.DUPLICATES).exists():
        return pairs.stored(shard)
    try:
        return candidates_of(shard)
    except UserError:  # the scores are of other pairs
        return pairs.stored(shard)


def _origins(config: PipelineConfig, planned: pa.Schema) -> dict[str, str]:
    """Return where each column comes from."""
    origins = dict.fromkeys(planned.names, "adopt" if config.way == "shards" else "table")
    if config.plan.join:
        try:
            own = schema_of(config.table, config.plan.model_copy(update={"join": [], "captions": []})).names
            origins |= {name: "plan.join" for name in planned.names if name not in own}
        except UserError:  # the table is gone; the run goes on without it
            pass
    first = "adopt" if config.way == "shards" else "download"
    origins |= {"key": "adopt" if config.way == "shards" else "plan", **dict.fromkeys(pairs.COLUMNS.names, first)}
    by_scorer = columns_by_scorer(config.score)
    origins |= {column: f"score: {name}" for name, columns in by_scorer.items() for column in columns}
    return origins | dict.fromkeys(OF_DEDUP, "dedup")


def _facts(parts: list[pa.ChunkedArray]) -> Facts:
    """Return the range, the share of NULL and an example of some values."""
    values = pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
    known = values.drop_null()
    null = f"{100 * values.null_count / len(values):.0f} %" if len(values) else ""
    if not len(known):
        return Facts(null=null)
    return Facts(_range(known), null, _short(known[len(known) // 2].as_py()))


def _range(known: pa.ChunkedArray) -> str:
    kind = known.type
    if pa.types.is_boolean(kind):
        return f"true {100 * pc.mean(known).as_py():.0f} %"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        ends = pc.min_max(known)
        return f"{_short(ends['min'].as_py())} .. {_short(ends['max'].as_py())}"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return f"{pc.count_distinct(known).as_py():,} different"
    return ""


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else f"{value:.4g}" if isinstance(value, float) else str(value)
    return printable(shortened(text, VALUE_CHARS))  # strangers wrote it


def _notes(config: PipelineConfig, shards: list[Shard], rows: int) -> Iterator[str]:
    if shards:
        yield f"\nrange, NULL and example: of {rows:,} pairs in {len(shards)} of {len(shards_of(config.run))} shards"
    else:
        yield "\nnothing is planned yet: range, NULL and examples are told once a run has them"
    yield "rules of `plan` may use the columns of table and plan.join; those of `select` all of them"
    for column, why in constant_columns(config).items():
        yield f"{column} {why}"
