"""`corgi why KEY`: one pair's whole story, from its row in the table to the steps that trained on it.

The steps are not logged anywhere: the order of samples is a pure function, and is asked backwards.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs import UserError, printable
from pipeline.status import config_of
from pipeline.why import find
from storage.ledger import read_training
from storage.run import index_of, trainings_of

from .changes import Stretch, left_out_in, stretches
from .config import TrainConfig
from .data.dataset import PairDataset
from .data.index import read_index
from .data.loader import Loader
from .data.positions import is_left_out
from .run_folder import read_config

SHOWN = 100  # steps at each end of a list; a pair of a small set is seen hundreds of times
LINE_CHARS = 100


def tell(run: Path, key: str) -> str:
    """Return the story of a pair, a line each. key: the beginning of its key, or a part of its url.

    Raises UserError where no pair, or more than one, is meant.
    """
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
        steps = steps_of_pair(config, key, shard=shard)
    except UserError as error:
        return f"{config.stage.name:10}its steps cannot be told: {error}"
    if steps is None:
        return f"{config.stage.name:10}not trained on: held out, or dropped by the stage's own rules"
    done, untold = f"{_steps_done(config):,} steps", untold_until(config)
    done += f" (those up to {untold:,} read another index and cannot be told)" if untold else ""
    if not steps:
        return f"{config.stage.name:10}not seen yet in {done}"
    times = "once" if len(steps) == 1 else f"{len(steps)} times"
    line = f"{config.stage.name:10}seen {times} in {done}, at step {shortened_steps(steps)}"
    return textwrap.fill(line, LINE_CHARS, subsequent_indent=" " * 10)


def steps_of_pair(config: TrainConfig, key: str, *, shard: int) -> list[int] | None:
    """Return the steps, from 1, at which this stage's training saw the pair `key` of shard number `shard`.

    None where the stage does not train on it.
    """
    return steps_of_pairs(config, {key: shard})[key]


def steps_of_pairs(config: TrainConfig, shards: Mapping[str, int]) -> dict[str, list[int] | None]:
    """Return what `steps_of_pair` tells of many pairs. shards: key -> number of the pair's shard.

    Raises UserError where the index is another one than the training reads.
    """
    index = read_index(config.data)
    if index_of(config.run) != index.content:
        raise UserError("it was trained on another index than there is now")
    lines = read_training(config.run)
    parts, left_out = stretches(lines, batch=config.batch), left_out_in(lines)
    begins = max(part.seen for part in parts if part.is_ordered_anew or part is parts[0])
    until = parts[-1].position_at(_steps_done(config))
    dataset, row_of = PairDataset(config, index), {number: row for row, number in enumerate(index.numbers.tolist())}
    order = Loader(config, dataset, order_from=begins).order
    steps: dict[str, list[int] | None] = {}
    for key, shard in shards.items():
        place = dataset.find(row_of[shard], key) if shard in row_of else None
        positions = order.positions_of(*place, until=until) if place else []
        seen = [position for position in positions if not is_left_out(position, left_out)]
        steps[key] = [_step_of(parts, position) for position in seen] if place else None
    return steps


def untold_until(config: TrainConfig) -> int:
    """Return the step up to which a training read another index, so that nobody can tell what it saw; 0: none."""
    parts = stretches(read_training(config.run), batch=config.batch)
    return max(part.step for part in parts if part.is_ordered_anew or part is parts[0])


def _step_of(parts: Sequence[Stretch], position: int) -> int:
    """Return the step, from 1, that saw a position."""
    return next(part for part in reversed(parts) if part.seen <= position).step_of(position)


def _steps_done(config: TrainConfig) -> int:
    return max((line["step"] for line in read_training(config.run)), default=0)


def shortened_steps(steps: list[int]) -> str:
    """Return steps in words: all of a few, else the first and the last."""
    if len(steps) <= 2 * SHOWN:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:SHOWN]))}, ... {', '.join(map(str, steps[-SHOWN:]))}"
