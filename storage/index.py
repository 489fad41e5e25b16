"""index.parquet at the top of a run: one row a shard, the only thing the loader reads at its start.

shard, tar, pairs, kept, train, held_out, <stage>..., tokens, and the content of each file: content_pairs, content_keep,
content_text_embeds
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError
from configs.steps import STEPS

from .tables import read_metadata, write_table

INDEX = STEPS["index"].writes
CONTENTS = ("content_pairs", "content_keep", "content_text_embeds")
NOT_TRAINED_ON = ("shard", "tar", "pairs", "kept", "held_out", "tokens", *CONTENTS)
ENCODER, WIDTH, TEXT, STAGES = "corgi.encoder", "corgi.width", "corgi.text", "corgi.stages"  # metadata


class IndexFile(NamedTuple):
    """An index as it was read."""

    table: pa.Table
    encoder: str  # whose embeds are stored, a name safe for files
    width: int  # of the text embeds
    text: dict[str, Any]  # how captions became embeds: max_tokens, precision, revision

    @property
    def columns(self) -> list[str]:
        """Return what can be trained on: train, and the columns of stages that add rules."""
        return [name for name in self.table.column_names if name not in NOT_TRAINED_ON]


def write(
    run: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    fingerprint: str,
    encoder: str,
    width: int,
    text: Mapping[str, Any],
    stages: Sequence[str],
) -> None:
    """Commit the index, a dict a shard."""
    metadata = {ENCODER: encoder, WIDTH: str(width), TEXT: json.dumps(text, sort_keys=True)}
    metadata[STAGES] = json.dumps(list(stages))
    write_table(run / INDEX, pa.Table.from_pylist(list(rows)), fingerprint=fingerprint, metadata=metadata)


def read(path: Path) -> IndexFile:
    """Read an index. Raises UserError where it is not there, cannot be read, is none or is of an earlier version."""
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise UserError(f'{path} is not there; run "corgi index" first') from None
    except pa.ArrowInvalid as error:
        raise UserError(f'{path} cannot be read ({error}); run "corgi index" again') from None
    metadata = read_metadata(path)
    if ENCODER not in metadata or WIDTH not in metadata:
        raise UserError(f'{path} is not an index; give the file that "corgi index" writes')
    if not {*CONTENTS} <= {*table.column_names}:
        raise UserError(f'{path} is of an earlier version; run "corgi embed" and "corgi index" again')
    return IndexFile(table, metadata[ENCODER], int(metadata[WIDTH]), json.loads(metadata.get(TEXT, "{}")))
