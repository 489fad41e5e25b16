"""index.parquet as training reads it: one row a shard, the only file opened at the start."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError, fingerprint, nearest
from pipeline.files import read_metadata
from pipeline.shard import Shard

from .config import DataConfig, TextDataConfig

FIXED = ("shard", "tar", "pairs", "tokens", "content_pairs", "content_keep", "content_states")
CONTENTS = ("content_pairs", "content_keep", "content_states")


@dataclass(frozen=True)
class Index:
    """The shards of a pipeline's run, and how many samples each has."""

    run: Path  # the pipeline's run, where the shards lie
    column: str  # of the keep-list, that says what is trained on
    encoder: str  # whose states are stored, a name safe for files
    width: int  # of the text states
    text: dict[str, object]  # how captions became states: max_tokens, precision, revision
    table: pa.Table

    @cached_property
    def counts(self) -> np.ndarray:
        """(shards,) training samples of each shard."""
        return self.table[self.column].to_numpy()

    @cached_property
    def held_out(self) -> np.ndarray:
        """(shards,) held-out samples of each shard."""
        return self.table["held_out"].to_numpy()

    @cached_property
    def numbers(self) -> np.ndarray:
        """(shards,) number of each shard."""
        return self.table["shard"].to_numpy()

    @cached_property
    def content(self) -> str:
        """Digest of what decides samples and their order; another digest is another training."""
        names = ("shard", self.column, "held_out", *CONTENTS)
        return fingerprint(self.column, {name: self.table[name].to_pylist() for name in names})

    def shard(self, place: int) -> Shard:
        """The shard in row `place` of the index."""
        return Shard(self.run, int(self.numbers[place]))

    def tar(self, place: int) -> Path:
        """Its tar."""
        return self.run / self.table["tar"][place].as_py()


def read_index(data: DataConfig) -> Index:
    """Raises UserError where the index is not there, or has no such column or no sample to train on."""
    try:
        table = pq.read_table(data.index, partitioning=None)
    except FileNotFoundError:
        raise UserError(f'{data.index} is not there; run "corgi index" first') from None
    except pa.ArrowInvalid as error:
        raise UserError(f'{data.index} cannot be read ({error}); run "corgi index" again') from None
    metadata = read_metadata(data.index)
    if "corgi.encoder" not in metadata or "corgi.width" not in metadata:
        raise UserError(f'{data.index} is not an index; give the file that "corgi index" writes')
    usable = [name for name in table.column_names if name not in FIXED]
    if data.column not in usable:
        raise UserError(f"data.column {data.column!r} is not in {data.index}{nearest(data.column, usable)}")
    encoder, width = metadata["corgi.encoder"], int(metadata["corgi.width"])
    text = json.loads(metadata.get("corgi.text", "{}"))
    index = Index(Path(data.index).parent, data.column, encoder, width, text, table)
    if not index.counts.any():
        raise UserError(f"{data.index}: no pair has {data.column}; look at the funnel: corgi report")
    return index


def check_text(index: Index, text: TextDataConfig, *, text_width: int) -> None:
    """Raises UserError where stored states are not those that the stage was told of."""
    if text.mode == "live":
        return
    if index.encoder != text.encoder.name:
        raise UserError(
            f"text.encoder is {text.encoder.name!r}, but {index.run} holds states of {index.encoder!r}; "
            f"change text.encoder, or run embed and index with it"
        )
    ours = text.encoder.made_with()
    told = {name: value for name, value in index.text.items() if ours[name] != value}
    differing = [f"{name} is {ours[name]!r}, but was {value!r}" for name, value in told.items()]
    if differing:
        raise UserError(f"text.encoder: {', '.join(differing)} when the states of {index.run} were made; change one")
    if index.width != text_width:
        raise UserError(f"stage.text_width is {text_width}, but states of {index.encoder!r} are {index.width} wide")
