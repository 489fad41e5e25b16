"""`corgi train CONFIG`: from a config to a training in one process or in many, and to an exit code.

    one process       in this one
    processes: 8      what torchrun runs, in this one, with eight children
    under torchrun    this process is one of those children; so it is on several machines

Exit codes: 0 done, 75 stopped early by SIGTERM, SIGUSR1 or a file `stop` in the run folder: saved, to be run again.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from configs import UserError, load
from pipeline.files import read_json
from pipeline.step import DISK_ERRORS

from . import checkpoint, spread
from .config import TrainConfig, accumulation, shown
from .index import Index, check_text, read_index
from .runfolder import STOP, locked, prepare

DONE, STOPPED = 0, 75


def train(config_file: Path, overrides: Sequence[str] = ()) -> int:
    """Trains one stage, or goes on where it stopped; returns the exit code.

    Raises UserError for what a person can mend.
    """
    config = load(TrainConfig, config_file, overrides)
    index = read_index(config.data)
    check_text(index, config.text, text_width=config.stage.text_width)
    if spread.is_child():
        spread.die_with_parent()
        return work(config, index)
    place = spread.place(config)
    accumulation(config, place.world_size)
    with ExitStack() as stack:
        if place.first:  # of all processes: it looks after the run folder
            stack.enter_context(locked(config.run))
            _begin(config, index, world_size=place.world_size)
        if finished(config):
            print(f"{config.stage.name}: {config.steps:,} steps are done already, see {config.run}", file=sys.stderr)
            return DONE
        if place.is_rank or place.world_size == 1:
            return work(config, index)
        return spread.spread(config, [str(config_file), *overrides])


def _begin(config: TrainConfig, index: Index, *, world_size: int) -> None:
    """The run folder says what was asked for before anything else happens; so does the terminal."""
    prepare(config, content=index.content)
    (config.run / STOP).unlink(missing_ok=True)
    for line in shown(config, world_size=world_size, samples=int(index.counts.sum())):
        print(f"{config.stage.name}: {line}", file=sys.stderr)


def work(config: TrainConfig, index: Index) -> int:
    """Trains as one rank of a world, or as the only one."""
    warnings.filterwarnings("ignore", module=r"(deepspeed|accelerate|torch)\b")
    from .ranks import joined
    from .trainer import Trainer

    with joined() as ranks:
        outcome = Trainer(config, index, ranks=ranks).train()
    return DONE if outcome == "done" else STOPPED


def finished(config: TrainConfig) -> bool:
    """Whether the newest checkpoint is whole and holds the last step."""
    for folder in checkpoint.committed(config.run)[:1]:
        state = read_json(folder / "state.json") or {}
        return state.get("step", 0) >= config.steps and not checkpoint.faults(folder)
    return False


def main() -> int:
    """A child of `spread`, or of torchrun."""
    try:
        return train(Path(sys.argv[1]), sys.argv[2:])
    except UserError as error:
        print(f"corgi: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        print(f"corgi: {error.strerror}: {error.filename}; mend that and run the same command again", file=sys.stderr)
        return 1


def leave(code: int) -> NoReturn:
    """Ends this process without taking the interpreter down.

    A thread of gloo may still let go of a tensor that Python knows, and a process that does so while its interpreter
    ends is aborted. It is rare, and happens after all was saved.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
