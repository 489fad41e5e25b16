"""`corgi why KEY`: one pair's whole story, from its row in the table to the steps that trained on it.

The steps are not logged anywhere: the order of samples is a pure function, and is asked backwards.
"""

import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from configs import UserError
from pipeline.files import read_json
from pipeline.status import config_of
from pipeline.why import find

from . import ledger
from .config import TrainConfig
from .index import read_index
from .loader import Loader
from .runfolder import RUN, read_config
from .status import trainings_of

SHOWN = 100  # steps at each end of a list; a pair of a small set is seen hundreds of times
LINE_CHARS = 100


class Trained(NamedTuple):
    """What one stage did with a pair."""

    stage: str
    row: int | None  # among the shard's training rows; None: not trained on
    steps: list[int]  # steps that saw it, the first step is 1
    until: int  # steps done so far


def tell(run: Path, key: str) -> str:
    """The story of the pair whose key starts with `key`, a line each. Raises UserError where there is no such pair."""
    found = find(config_of(run), key)
    lines = [f"pair      {found.key}", *found.lines]
    if found.kept and found.shard is not None:
        for folder in trainings_of(run):
            config = read_config(folder)
            lines += [_of_training(config, found.key, shard=found.shard.number)] if config else []
    return "\n".join(lines)


def _of_training(config: TrainConfig, key: str, *, shard: int) -> str:
    """One stage's line. The order can be asked only where the index is the one that the training began with."""
    try:
        if (read_json(config.run / RUN) or {}).get("index") != read_index(config.data).content:
            raise UserError("it was trained on another index than there is now")
        return sentence(trained_on(config, key, shard=shard))
    except UserError as error:
        return f"{config.stage.name:10}its steps cannot be told: {error}"


def trained_on(config: TrainConfig, key: str, *, shard: int) -> Trained:
    """The steps at which this stage's training saw the pair `key` of shard number `shard`."""
    loader = Loader(config, read_index(config.data))
    until = max((line["step"] for line in ledger.read(config.run)), default=0)
    place = int(np.flatnonzero(loader.index.numbers == shard)[0])
    row = loader.row_of(place, key)
    if row is None:
        return Trained(config.stage.name, None, [], until)
    positions = loader.order.positions_of(place, row, until=until * config.batch)
    return Trained(config.stage.name, row, [position // config.batch + 1 for position in positions], until)


def sentence(trained: Trained) -> str:
    """One stage's line."""
    name = f"{trained.stage:10}"
    if trained.row is None:
        return f"{name}not trained on: held out, or dropped by the stage's own rules"
    if not trained.steps:
        return f"{name}not seen yet in {trained.until:,} steps"
    times = "once" if len(trained.steps) == 1 else f"{len(trained.steps)} times"
    said = f"{name}seen {times} in {trained.until:,} steps, at step {_shortened(trained.steps)}"
    return textwrap.fill(said, LINE_CHARS, subsequent_indent=" " * len(name))


def _shortened(steps: list[int]) -> str:
    if len(steps) <= 2 * SHOWN:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:SHOWN]))}, ... {', '.join(map(str, steps[-SHOWN:]))}"
