"""`corgi why KEY`: one pair's whole story, from its row in the table to the steps that trained on it.

The steps are not logged anywhere: the order of samples is a pure function, and is asked backwards.
"""

import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from configs import UserError
from pipeline.status import config_of
from pipeline.why import find
from storage.ledger import read_training
from storage.run import index_of, trainings_of

from .config import TrainConfig
from .data.dataset import PairDataset
from .data.index import read_index
from .data.loader import Loader
from .run_folder import read_config

SHOWN = 100  # steps at each end of a list; a pair of a small set is seen hundreds of times
LINE_CHARS = 100


class StepsOfPair(NamedTuple):
    """What one stage did with a pair."""

    stage: str
    row: int | None  # among the shard's training rows; None: not trained on
    steps: list[int]  # steps that saw it, the first step is 1
    until: int  # steps done so far


def tell(run: Path, key: str) -> str:
    """Return the story of the pair whose key starts with `key`, a line each. Raises UserError where there is none."""
    story = find(config_of(run), key)
    lines = [f"pair      {story.key}", *story.lines]
    if story.kept and story.shard is not None:
        for folder in trainings_of(run):
            config = read_config(folder)
            lines += [line_of(config, story.key, shard=story.shard.number)] if config else []
    return "\n".join(lines)


def line_of(config: TrainConfig, key: str, *, shard: int) -> str:
    """Return one stage's line. The order can be asked only where the index is the one that the training began with."""
    try:
        if index_of(config.run) != read_index(config.data).content:
            raise UserError("it was trained on another index than there is now")
        return sentence(steps_of_pair(config, key, shard=shard))
    except UserError as error:
        return f"{config.stage.name:10}its steps cannot be told: {error}"


def steps_of_pair(config: TrainConfig, key: str, *, shard: int) -> StepsOfPair:
    """Return the steps at which this stage's training saw the pair `key` of shard number `shard`."""
    index = read_index(config.data)
    dataset = PairDataset(config, index)
    until = max((line["step"] for line in read_training(config.run)), default=0)
    place = dataset.find(int(np.flatnonzero(index.numbers == shard)[0]), key)
    if place is None:
        return StepsOfPair(config.stage.name, None, [], until)
    positions = Loader(config, dataset).order.positions_of(*place, until=until * config.batch)
    steps = [position // config.batch + 1 for position in positions]
    return StepsOfPair(config.stage.name, place.row, steps, until)


def sentence(pair: StepsOfPair) -> str:
    """Return what one stage did with a pair, in words."""
    name = f"{pair.stage:10}"
    if pair.row is None:
        return f"{name}not trained on: held out, or dropped by the stage's own rules"
    if not pair.steps:
        return f"{name}not seen yet in {pair.until:,} steps"
    times = "once" if len(pair.steps) == 1 else f"{len(pair.steps)} times"
    line = f"{name}seen {times} in {pair.until:,} steps, at step {_shortened(pair.steps)}"
    return textwrap.fill(line, LINE_CHARS, subsequent_indent=" " * len(name))


def _shortened(steps: list[int]) -> str:
    if len(steps) <= 2 * SHOWN:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:SHOWN]))}, ... {', '.join(map(str, steps[-SHOWN:]))}"
