"""One sample: a row of a keep-list joined with its picture in the tar and its text states.

    keep table  the i-th row that is trained on: key, caption, tar_offset, tar_size
    tar         one pread of the JPEG
    states      memory-mapped; row = rank of the pair among the kept ones

A picture that is missing or broken raises `PictureError`; the loader decides what stands in. A keep-list or states that
are not those of the index are an error for people: the order of samples would not be the one that was asked for.
"""

import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from cascade.resize import from_uint8, shrink, to_uint8
from configs import UserError
from pipeline.files import read_mark, read_table
from pipeline.pictures import decode, read_member
from pipeline.shard import KEEP, PAIRS, states_suffix

from .index import Index

Split = Literal["train", "held_out"]
CARRIED = ["key", "caption", "tar_offset", "tar_size", "stored_width", "stored_height"]


class PictureError(Exception):
    """A picture cannot be used; says why in a line."""


class ShardRows:
    """The rows of one shard that belong to a split, its tar and its states, held open."""

    def __init__(self, index: Index, place: int, split: Split) -> None:
        shard = index.shard(place)
        self.number, self.tar = shard.number, index.tar(place)
        keep = _checked_keep(index, place, split)
        wanted = _wanted(keep, index.column, split)
        self._kept_rank = np.cumsum(keep["kept"].to_numpy())[wanted] - 1
        self.table = keep.select(CARRIED).take(pa.array(wanted))
        self._states = _StatesFile(shard.path(states_suffix(index.encoder)))
        self._file = None if not self.tar.exists() else self.tar.open("rb")
        if self._file is not None:
            weakref.finalize(self, self._file.close)  # a thread may read on after the shard left the cache

    def __len__(self) -> int:
        return len(self.table)

    def key(self, row: int) -> str:
        return self.table["key"][row].as_py()

    def caption(self, row: int) -> str:
        return self.table["caption"][row].as_py()

    def states(self, row: int) -> np.ndarray:
        """(tokens, width) uint16, the bits of bfloat16, read where they lie."""
        return self._states.at(int(self._kept_rank[row]), key=self.key(row))

    def picture(self, row: int, *, px: int) -> Tensor:
        """(3, px, px) uint8: the middle square, made small by area means. Raises PictureError."""
        if self._file is None:
            raise PictureError(f"{self.tar} is not there")
        here = {name: self.table[name][row].as_py() for name in CARRIED[2:]}
        if min(here["stored_width"], here["stored_height"]) < px:
            size = f"{here['stored_width']} x {here['stored_height']} px"
            raise PictureError(f"{size} is smaller than the stage's {px} px; give the stage a rule in select.stages")
        try:
            data = read_member(self._file, here["tar_offset"], here["tar_size"])
            return fit(decode(data, at_least_px=px), px=px)
        except (OSError, ValueError) as error:
            raise PictureError(" ".join(str(error).split())) from None


def fit(picture: np.ndarray, *, px: int) -> Tensor:
    """(height, width, 3) uint8, both sides at least px -> (3, px, px) uint8: the middle square by area means."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = torch.from_numpy(picture[top : top + side, left : left + side]).permute(2, 0, 1)
    if side == px:
        return square.contiguous()
    return to_uint8(shrink(from_uint8(square)[None], px))[0]


def _checked_keep(index: Index, place: int, split: Split) -> pa.Table:
    path = index.shard(place).path(KEEP)
    columns = [*CARRIED, "kept", "held_out", *([index.column] if index.column != "train" else [])]
    keep, mark = read_table(path, columns, made_by="select"), read_mark(path)
    if mark is None or mark.content != index.table["content_keep"][place].as_py():
        raise UserError(f'{path} has changed since the index was made; run "corgi embed" and "corgi index"')
    pairs = read_mark(index.shard(place).path(PAIRS))
    if pairs is not None and pairs.content != index.table["content_pairs"][place].as_py():
        raise UserError(f'{index.tar(place)} holds other pairs than the index; run "corgi score" and what follows')
    return keep


def _wanted(keep: pa.Table, column: str, split: Split) -> np.ndarray:
    """Rows of the keep-list that belong to a split, in its order."""
    if split == "held_out":
        return np.flatnonzero(pc.and_(keep["kept"], keep["held_out"]).to_numpy())
    chosen = pc.and_not(keep["kept"], keep["held_out"]) if column == "train" else keep[column]
    return np.flatnonzero(chosen.to_numpy())


class _StatesFile:
    """A shard's text states by memory map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except FileNotFoundError:
            raise UserError(f'{path} is not there; run "corgi embed" first') from None
        except pa.ArrowInvalid as error:
            raise UserError(f'{path} cannot be read ({error}); run "corgi embed" again') from None
        self._width = int(self._table.schema.metadata[b"corgi.width"])
        self._ends = np.cumsum([len(chunk) for chunk in self._table["states"].chunks])

    def at(self, row: int, *, key: str) -> np.ndarray:
        if row >= len(self._table) or self._table["key"][row].as_py() != key:
            raise UserError(f'{self.path} does not fit its keep-list; run "corgi embed" and "corgi index"')
        number = int(np.searchsorted(self._ends, row, side="right"))
        chunk = self._table["states"].chunk(number)
        inside = row - (int(self._ends[number]) - len(chunk))
        stored = chunk.dictionary[chunk.indices[inside].as_py()].as_buffer()
        return np.frombuffer(stored, dtype="<u2").reshape(-1, self._width)


class OpenShards:
    """The shards opened last; safe to ask from several threads."""

    def __init__(self, index: Index, split: Split, *, limit: int) -> None:
        self._index, self._split, self._limit = index, split, limit
        self._open: OrderedDict[int, ShardRows] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> ShardRows:
        """The shard in row `place` of the index. Raises UserError where it is not the one of the index."""
        with self._lock:
            if place not in self._open:
                self._open[place] = ShardRows(self._index, place, self._split)
                if len(self._open) > self._limit:
                    self._open.popitem(last=False)
            self._open.move_to_end(place)
            return self._open[place]
