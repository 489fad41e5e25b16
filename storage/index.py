"""index.parquet at the top of a run: one row a shard, the only thing the loader reads at its start.

shard, tar, pairs, kept, train, held_out, <stage>..., tokens, and the content of each file: content_pairs, content_keep,
content_text_embeds
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs import UserError
from configs.steps import STEPS

from . import keep_list
from .shard import KEEP, PAIRS, TAR, Shard
from .tables import content, read_metadata, write_table
from .text_embeds import TextEmbedsFile
from .typed import typed

INDEX = STEPS["index"].writes
CONTENTS = ("content_pairs", "content_keep", "content_text_embeds")
NOT_TRAINED_ON = ("shard", "tar", "pairs", "kept", "held_out", "tokens", *CONTENTS)
ENCODER, WIDTH, TEXT, STAGES = "corgi.encoder", "corgi.width", "corgi.text", "corgi.stages"  # metadata
CAPTIONS = "corgi.captions"


class IndexFile(NamedTuple):
    """An index as it was read."""

    table: pa.Table
    encoder: str  # whose embeds are stored, a name safe for files
    width: int  # of the text embeds
    text: dict[str, Any]  # how captions became embeds: max_tokens, precision, revision
    captions: list[str]  # columns of further captions whose embeds are stored, too

    @property
    def columns(self) -> list[str]:
        """Return what can be trained on: train, and the columns of stages that add rules."""
        return [name for name in self.table.column_names if name not in NOT_TRAINED_ON]


def row_of(shard: Shard, folder: Path, *, encoder: str) -> dict[str, Any]:
    """Return a shard's row of the index in `folder`. Raises UserError where one of its files is not there."""
    keep, embeds = keep_list.read(shard), TextEmbedsFile(shard, encoder)
    counted: dict[str, pa.ChunkedArray] = {
        "kept": keep["kept"],
        "train": pc.and_not(keep["kept"], keep["held_out"]),
        "held_out": keep["held_out"],
    }
    counted |= {stage: keep[stage] for stage in keep_list.stages_of(shard)}
    files = (shard.path(PAIRS), shard.path(KEEP), embeds.path)
    return {
        "shard": shard.number,
        "tar": str(shard.path(TAR).relative_to(folder)),
        "pairs": len(keep),
        **{name: pc.sum(column).as_py() or 0 for name, column in counted.items()},
        "tokens": embeds.total_tokens,
        **{name: content(path) for name, path in zip(CONTENTS, files, strict=True)},
    }


def write(
    run: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    fingerprint: str,
    encoder: str,
    width: int,
    text: Mapping[str, Any],
    stages: Sequence[str],
    captions: Sequence[str] = (),
) -> None:
    """Commit the index, a dict a shard."""
    metadata = {ENCODER: encoder, WIDTH: str(width), TEXT: json.dumps(text, sort_keys=True)}
    metadata[STAGES] = json.dumps(list(stages))
    metadata |= {CAPTIONS: json.dumps(list(captions))} if captions else {}
    write_table(run / INDEX, pa.Table.from_pylist(list(rows)), fingerprint=fingerprint, metadata=metadata)


def read(path: Path) -> IndexFile:
    """Read an index. Raises UserError where it is not there, cannot be read, is none or is of an earlier version."""
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise UserError(f'{path} is not there; run "{typed(path, "index")}" first') from None
    except pa.ArrowInvalid as error:
        raise UserError(f'{path} cannot be read ({error}); run "{typed(path, "index")}" again') from None
    metadata = read_metadata(path)
    if ENCODER not in metadata or WIDTH not in metadata:
        raise UserError(f'{path} is not an index; give the file that "corgi index" writes')
    if not {*CONTENTS} <= {*table.column_names}:
        raise UserError(f'{path} is of an earlier version; run "{typed(path, "embed", "index")}"')
    text, captions = json.loads(metadata.get(TEXT, "{}")), json.loads(metadata.get(CAPTIONS, "[]"))
    return IndexFile(table, metadata[ENCODER], int(metadata[WIDTH]), text, captions)
