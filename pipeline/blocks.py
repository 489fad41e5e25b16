"""Blocks of shards, for steps that see all rows: what is read together."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.plan import first_keys, pairs_of, shards_of
from storage.shard import Shard


class Block(NamedTuple):
    """Shards that are read together."""

    number: int
    shards: list[Shard]
    first_keys: list[str]  # of each shard
    begins: list[int]  # the first id of each shard, and the end


def blocks_of(run: Path, rows: int) -> list[Block]:
    """Return the run's shards in blocks of about so many planned pairs."""
    shards, keys = shards_of(run), first_keys(run)
    begins = np.concatenate([[0], np.cumsum(pairs_of(run))])
    cuts = [*np.unique(begins[:-1] // rows, return_index=True)[1].tolist(), len(shards)]
    return [
        Block(number, shards[a:b], keys[a:b], begins[a : b + 1].tolist())
        for number, (a, b) in enumerate(pairwise(cuts))
    ]
