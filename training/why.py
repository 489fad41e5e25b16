"""`corgi why KEY`: one pair's whole story, from its row in the table to the steps that trained on it.

The steps are not logged anywhere: the order of samples is a pure function, and is asked backwards.
"""

import textwrap
from pathlib import Path

import numpy as np

from configs import UserError, printable
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


def tell(run: Path, key: str) -> str:
    """Return the story of the pair whose key starts with `key`, a line each. Raises UserError where there is none."""
    story = find(config_of(run), key)
    lines = [f"pair      {story.key}", *map(printable, story.lines)]  # they hold what strangers wrote
    if story.kept and story.shard is not None:
        for folder in trainings_of(run):
            config = read_config(folder)
            lines += [line_of(config, story.key, shard=story.shard.number)] if config else []
    return "\n".join(lines)


def line_of(config: TrainConfig, key: str, *, shard: int) -> str:
    """Return what one stage did with a pair, in words.

    The order can be asked only where the index is the one that the training began with.
    """
    try:
        if index_of(config.run) != read_index(config.data).content:
            raise UserError("it was trained on another index than there is now")
        steps = steps_of_pair(config, key, shard=shard)
    except UserError as error:
        return f"{config.stage.name:10}its steps cannot be told: {error}"
    if steps is None:
        return f"{config.stage.name:10}not trained on: held out, or dropped by the stage's own rules"
    done = f"{_steps_done(config):,} steps"
    if not steps:
        return f"{config.stage.name:10}not seen yet in {done}"
    times = "once" if len(steps) == 1 else f"{len(steps)} times"
    line = f"{config.stage.name:10}seen {times} in {done}, at step {_shortened(steps)}"
    return textwrap.fill(line, LINE_CHARS, subsequent_indent=" " * 10)


def steps_of_pair(config: TrainConfig, key: str, *, shard: int) -> list[int] | None:
    """Return the steps, from 1, at which this stage's training saw the pair `key` of shard number `shard`.

    None where the stage does not train on it.
    """
    index = read_index(config.data)
    dataset = PairDataset(config, index)
    place = dataset.find(int(np.flatnonzero(index.numbers == shard)[0]), key)
    if place is None:
        return None
    positions = Loader(config, dataset).order.positions_of(*place, until=_steps_done(config) * config.batch)
    return [position // config.batch + 1 for position in positions]


def _steps_done(config: TrainConfig) -> int:
    return max((line["step"] for line in read_training(config.run)), default=0)


def _shortened(steps: list[int]) -> str:
    if len(steps) <= 2 * SHOWN:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:SHOWN]))}, ... {', '.join(map(str, steps[-SHOWN:]))}"
