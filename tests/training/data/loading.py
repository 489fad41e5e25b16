"""Loaders and ranks for tests, and when two batches are the same."""

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from cascade.resize import enlarge, from_uint8, shrink, to_uint8
from training.config import TrainConfig
from training.data.dataset import PairDataset, Split
from training.data.index import read_index
from training.data.loader import Batch, Loader
from training.distributed import Ranks


def loader_of(config: TrainConfig, split: Split = "train") -> Loader:
    return Loader(config, PairDataset(config, read_index(config.data), split=split))


def rank(number: int, of: int) -> Ranks:
    return Ranks(number, of, torch.device("cpu"))


def same(batch: Batch, other: Batch) -> bool:
    for item in fields(Batch):
        left, right = getattr(batch, item.name), getattr(other, item.name)
        equal = torch.equal(left, right) if isinstance(left, Tensor) else np.array_equal(left, right)
        if not equal:
            return False
    return True


def whole_low_res(x: Tensor, *, low_res_px: int) -> Tensor:
    """Return what a stage that enlarges is given, without a crop: made small, rounded to 8 bits, made large again."""
    return enlarge(from_uint8(to_uint8(shrink(x, low_res_px))), x.shape[-1])
