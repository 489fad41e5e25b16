"""Which drawings the figures are about, and their real pictures.

Kept pairs alone, one for each name; the table's own columns say group, family and split.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cascade.resize import enlarge, from_uint8, to_uint8
from configs import UserError
from evaluation.groups import choose
from pipeline.files import read_table
from pipeline.pictures import decode, read_member
from pipeline.plan import shards_of
from pipeline.shard import KEEP, PAIRS, TAR, Shard
from training.samples import fit

from .names import GROUPS, hashed

PAIR_COLUMNS = ["key", "caption", "name", "group", "family", "tone_variant", "status"]
COLUMNS = [*PAIR_COLUMNS, "stored_width", "stored_height", "tar_offset", "tar_size"]


class Chosen(NamedTuple):
    """One kept pair."""

    key: str
    caption: str
    name: str
    group: str
    family: str
    tone_variant: bool
    held_out: bool
    shard: int
    stored_width: int
    stored_height: int
    tar_offset: int
    tar_size: int


def kept(run: Path) -> list[Chosen]:
    """One kept pair of every name, by key. Copies and planted pairs whose words are not the name's are passed over."""
    found: dict[str, Chosen] = {}
    for shard in shards_of(run):
        for one in _of_shard(shard):
            if one.name in one.caption and one.group in GROUPS:
                found.setdefault(one.name, one)
    if not found:
        raise UserError(f"{run} holds no kept drawing; look at the funnel: corgi report {run / 'pipeline.yaml'}")
    return list(found.values())


def _of_shard(shard: Shard) -> Iterator[Chosen]:
    pairs = read_table(shard.path(PAIRS), COLUMNS, made_by="download")
    pairs = pairs.filter(pc.equal(pairs["status"], "ok")).drop_columns("status")
    keep = read_table(shard.path(KEEP), ["key", "kept", "held_out"], made_by="select")
    assert keep["key"].equals(pairs["key"]), f"{shard.path(KEEP)} is not of {shard.path(PAIRS)}"
    number = pa.array([shard.number] * len(pairs), pa.int64())
    table = pairs.append_column("held_out", keep["held_out"]).append_column("shard", number)
    for row in table.filter(keep["kept"]).to_pylist():
        yield Chosen(**row)


def training_names(drawings: Sequence[Chosen], *, per_group: int) -> list[Chosen]:
    """`per_group` trained names of every group, no tone variants; fewer of each where a group has not as many."""
    able = [one for one in drawings if not one.held_out and not one.tone_variant]
    groups = [one.group for one in able]
    least = min((groups.count(group) for group in set(groups)), default=0)
    if not least:
        return []
    rows = choose(groups, names=[one.name for one in able], per_group=min(per_group, least))
    return [able[row] for row in rows]


def some(drawings: Sequence[Chosen], count: int, *, purpose: str) -> list[Chosen]:
    """At most `count` of them, in the order of a hash of the name."""
    return sorted(drawings, key=lambda one: hashed(one.name, purpose))[:count]


def pictures(run: Path, chosen: Sequence[Chosen]) -> Iterator[np.ndarray]:
    """The stored pictures, (height, width, 3) uint8 each, in the given order."""
    for one in chosen:
        with Shard(run, one.shard).path(TAR).open("rb") as file:
            yield decode(read_member(file, one.tar_offset, one.tar_size))


def sized(picture: np.ndarray, px: int) -> np.ndarray:
    """A picture as (px, px, 3) uint8, by the kernels of training; what is stored smaller is enlarged."""
    side = min(picture.shape[:2])
    square = fit(picture, px=min(px, side))
    if side < px:
        square = to_uint8(enlarge(from_uint8(square)[None], px))[0]
    return square.permute(1, 2, 0).numpy()


def stack(run: Path, chosen: Sequence[Chosen], *, px: int) -> np.ndarray:
    """All of them, (n, px, px, 3) uint8."""
    return np.stack([sized(picture, px) for picture in pictures(run, chosen)])


def as_numbers(stacked: np.ndarray) -> torch.Tensor:
    """(n, px, px, 3) uint8 -> (n, 3, px, px) fp32 in [-1, 1]."""
    return from_uint8(torch.from_numpy(stacked).permute(0, 3, 1, 2))
