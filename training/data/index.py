"""index.parquet as training reads it: one row a shard, the only file opened at the start."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from configs import UserError, fingerprint, nearest
from storage.index import CONTENTS, IndexFile, read
from storage.run import CONFIG
from storage.shard import Shard
from storage.tables import content
from storage.text_embeds import suffix
from storage.typed import typed
from training.config import OWN, DataConfig, TextDataConfig

LOOKED_AT = 64  # shards whose text embeds are looked at before a training begins


@dataclass(frozen=True)
class Index:
    """The shards of a pipeline's run, and how many samples each has."""

    run: Path  # the pipeline's run, where the shards lie
    column: str  # of the keep-list, that says what is trained on
    file: IndexFile

    @cached_property
    def counts(self) -> np.ndarray:
        """Return (shards,) training samples of each shard."""
        return self.file.table[self.column].to_numpy()

    @cached_property
    def held_out(self) -> np.ndarray:
        """Return (shards,) held-out samples of each shard."""
        return self.file.table["held_out"].to_numpy()

    @cached_property
    def numbers(self) -> np.ndarray:
        """Return (shards,) number of each shard."""
        return self.file.table["shard"].to_numpy()

    @property
    def samples(self) -> int:
        """Return how many samples an epoch has."""
        return int(self.counts.sum())

    @cached_property
    def content(self) -> str:
        """Return the digest of what decides samples and their order; another digest is another training."""
        names = ("shard", self.column, "held_out", *CONTENTS)
        return fingerprint(self.column, {name: self.file.table[name].to_pylist() for name in names})

    def shard(self, place: int) -> Shard:
        """Return the shard in row `place` of the index. Its files lie beside its tar: exports have a folder a split."""
        return Shard(self.tar(place).parents[1], int(self.numbers[place]))

    def tar(self, place: int) -> Path:
        """Return where its tar lies."""
        return self.run / self.file.table["tar"][place].as_py()

    def content_of(self, place: int, column: str) -> str:
        """Return the content of one of its files as it was. column: of storage.index.CONTENTS."""
        return self.file.table[column][place].as_py()


def read_index(data: DataConfig) -> Index:
    """Read the index. Raises UserError where it is not there, or has no such column or no sample to train on."""
    file = read(data.index)
    if data.column not in file.columns:
        raise UserError(f"data.column {data.column!r} is not in {data.index}{nearest(data.column, file.columns)}")
    index = Index(Path(data.index).parent, data.column, file)
    if not index.counts.any():
        raise UserError(
            f"{data.index}: no pair has {data.column}; look at the funnel: corgi report {index.run / CONFIG}"
        )
    return index


def check_text(index: Index, text: TextDataConfig, *, text_width: int) -> None:
    """Raise UserError where the stored text embeds are not those that the stage expects, or that the index counted.

    Of many shards a few are looked at; each is when it is opened.
    """
    if text.mode == "live":
        return
    for column in text.captions:
        if column != OWN and column not in index.file.captions:
            raise UserError(
                f"text.captions has {column!r}, but {index.run} holds text embeds of "
                f"{', '.join([OWN, *index.file.captions])}; add it to embed.captions and run embed and index again"
            )
    if index.file.encoder != text.encoder.name:
        raise UserError(
            f"text.encoder is {text.encoder.name!r}, but {index.run} holds text embeds of {index.file.encoder!r}; "
            f"change text.encoder, or run embed and index with it"
        )
    ours = text.encoder.made_with()
    theirs = {name: value for name, value in index.file.text.items() if ours[name] != value}
    differing = [f"{name} is {ours[name]!r}, but was {value!r}" for name, value in theirs.items()]
    if differing:
        raise UserError(
            f"text.encoder: {', '.join(differing)} when the text embeds of {index.run} were made; change one"
        )
    if index.file.width != text_width:
        raise UserError(
            f"stage.text_width is {text_width}, but text embeds of {index.file.encoder!r} are {index.file.width} wide"
        )
    places = np.unique(np.linspace(0, len(index.counts) - 1, LOOKED_AT).round().astype(int))
    for place in places.tolist():
        check_embeds(index, place)


def check_embeds(index: Index, place: int) -> None:
    """Raise UserError where a shard's text embeds are not those that the index counted."""
    path = index.shard(place).path(suffix(index.file.encoder))
    if path.exists() and content(path) != index.content_of(place, "content_text_embeds"):
        raise UserError(f'{path} holds other text embeds than the index; run "{typed(path, "embed", "index")}"')
