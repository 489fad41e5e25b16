"""Which pairs an evaluation is about, and their real images.

Kept pairs alone, one for each name; columns of the url table say name, group and family.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from cascade.resize import enlarge, fit, from_uint8, to_uint8
from configs import UserError, hashed, nearest
from filters.rules import holds
from storage import keep_list, pairs
from storage.plan import shards_of
from storage.run import CONFIG
from storage.shard import TAR, Shard
from storage.tar import TarReader

from .config import EvaluateConfig

FROM_PAIRS = ("key", "caption", "stored_width", "stored_height", "tar_offset", "tar_size")


class EvalPair(NamedTuple):
    """One kept pair."""

    key: str
    caption: str
    stored_width: int  # px
    stored_height: int
    tar_offset: int
    tar_size: int
    name: str  # of its own among all that take part
    family: str
    group: str  # "" where no column of groups is named
    variant: bool
    held_out: bool
    shard: int


def kept(run: Path, config: EvaluateConfig) -> list[EvalPair]:
    """Return one kept pair of every name, by key, at most `config.pairs` of each split.

    Raises UserError where none takes part, and where a column does not exist.
    """
    by_name: dict[str, EvalPair] = {}
    room = {False: config.pairs, True: config.pairs}  # held out?
    for shard in shards_of(run):
        splits = [split for split, places in room.items() if places]
        for pair in _of_shard(shard, config, splits) if splits else ():
            if room[pair.held_out] and pair.name not in by_name:
                by_name[pair.name] = pair
                room[pair.held_out] -= 1
    if not by_name:
        raise UserError(
            f"of {run} no kept pair takes part (where: {config.where}); look at its funnel: corgi report {run / CONFIG}"
        )
    return list(by_name.values())


def _of_shard(shard: Shard, config: EvaluateConfig, splits: Sequence[bool]) -> Iterator[EvalPair]:
    """Yield a shard's pairs of these splits (held out: True). Where it has none, its table of pairs is not read."""
    if not pc.any(_kept_in(keep_list.read(shard, ["kept", "held_out"]), splits)).as_py():
        return
    table = pairs.stored(shard)
    keep = keep_list.read(shard, ["kept", "held_out"], of=table)
    fits = _kept_in(keep, splits)
    table, held_out = table.filter(fits), keep["held_out"].filter(fits)
    verdicts = holds(table, {"where": config.where, "variants": config.variants})
    names = _column(table, config.name)
    columns = {column: table[column] for column in FROM_PAIRS} | {
        "name": names,
        "family": pc.coalesce(_column(table, config.family), names) if config.family else names,
        "group": _column(table, config.group) if config.group else pa.repeat("", len(table)),
        "variant": verdicts["variants"],
        "held_out": held_out,
        "shard": pa.repeat(shard.number, len(table)),
    }
    for row in pa.table(columns).filter(verdicts["where"]).drop_null().to_pylist():
        yield EvalPair(**row)


def _kept_in(keep: pa.Table, splits: Sequence[bool]) -> pa.ChunkedArray:
    return pc.and_(keep["kept"], pc.is_in(keep["held_out"], value_set=pa.array(splits, pa.bool_())))


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise UserError(f"the url table has no column {name!r}{nearest(name, table.column_names)}")
    return pc.cast(table[name], pa.string())


def training_set(eval_pairs: Sequence[EvalPair], *, per_group: int) -> list[EvalPair]:
    """Return `per_group` trained pairs of every group, no variants; fewer of each where a group has not as many.

    The draw depends on the names alone, not on the order of the pairs; groups come in sorted order.
    """
    groups: dict[str, list[EvalPair]] = {}
    for pair in sorted(eval_pairs, key=lambda pair: (pair.group, pair.name)):
        if not pair.held_out and not pair.variant:
            groups.setdefault(pair.group, []).append(pair)
    count = min([per_group, *map(len, groups.values())])
    drawn = ((pairs, np.random.default_rng([0, count]).permutation(len(pairs))) for pairs in groups.values())
    return [pairs[row] for pairs, order in drawn for row in sorted(order[:count])]


def some(eval_pairs: Sequence[EvalPair], count: int, *, purpose: str) -> list[EvalPair]:
    """Return at most `count` of them, in the order of a hash of the name."""
    return sorted(eval_pairs, key=lambda pair: hashed(pair.name, purpose))[:count]


def images_of(run: Path, eval_pairs: Sequence[EvalPair]) -> Iterator[np.ndarray]:
    """Yield the stored images, (height, width, 3) uint8 each, in the given order."""
    for pair in eval_pairs:
        with TarReader(Shard(run, pair.shard).path(TAR)) as tar:
            yield tar.image(pair.tar_offset, size=pair.tar_size)


def sized(image: np.ndarray, px: int) -> np.ndarray:
    """Return an image as (px, px, 3) uint8, by the kernels of training; what is stored smaller is enlarged."""
    side = min(image.shape[:2])
    square = fit(image, px=min(px, side))
    if side < px:
        square = to_uint8(enlarge(from_uint8(square)[None], px))[0]
    return square.permute(1, 2, 0).numpy()


def stack(run: Path, eval_pairs: Sequence[EvalPair], *, px: int) -> np.ndarray:
    """Return all their images, (n, px, px, 3) uint8."""
    return np.stack([sized(image, px) for image in images_of(run, eval_pairs)])


def as_numbers(stacked: np.ndarray) -> torch.Tensor:
    """Return (n, px, px, 3) uint8 as (n, 3, px, px) fp32 in [-1, 1]."""
    return from_uint8(torch.from_numpy(stacked).permute(0, 3, 1, 2))
