"""`corgi train CONFIG`: from a config to a training in one process or in many, and to an exit code.

    one process       in this one
    processes: 8      what torchrun itself runs, in this one, with eight children
    under torchrun    this process is one of those children; so it is on several machines (`corgi submit` writes it)

Exit codes: 0 done, 75 stopped early by SIGTERM, SIGUSR1 or a file `stop` in the run folder: saved, to be run again.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from configs import exit_code_of, load, refuse
from pipeline.mirror import start_mirror
from storage.checkpoint import committed, faults, step_of
from storage.processes import die_with
from storage.run import STOP

from .check import problems_of
from .config import TrainConfig, shown
from .data.index import Index, read_index
from .ending import last_lines
from .preemption import signals_to_file
from .run_folder import ACCEPT_NEW_DATA, check, lock, prepare

DONE, STOPPED = 0, 75
LAUNCHER = "CORGI_LAUNCHER"  # environment of ranks that we started: the process to die with


def train(config_file: Path, overrides: Sequence[str] = (), *, accepts_new_data: bool = False) -> int:
    """Train one stage, or go on where it stopped; return the exit code.

    accepts_new_data: goes on where the index has changed. Raises UserError for what a person can mend; the run folder
    is then as it was.
    """
    config = load(TrainConfig, config_file, overrides)
    if LAUNCHER in os.environ:
        die_with(int(os.environ[LAUNCHER]))  # else it would train on behind the back of the next launcher
        return run_rank(config, read_index(config.data))
    is_rank = "RANK" in os.environ  # torchrun has made it one
    world_size = int(os.environ["WORLD_SIZE"]) if is_rank else config.processes
    index = read_index(config.data)
    looks_after_folder = os.environ.get("RANK", "0") == "0"  # the first of all processes
    if looks_after_folder:
        check(config, index, accepts_new_data=accepts_new_data)  # before the lock, which makes the folder
    refuse(problems_of(config, world_size=world_size, here=not is_rank))
    with ExitStack() as stack:
        if looks_after_folder:
            stack.enter_context(lock(config.run))
            check(config, index, accepts_new_data=accepts_new_data)  # again: it may have been another's until now
        if finished(config):
            done = f"{config.steps:,} steps are done already, see {config.run}"
            for line in [done, *last_lines(config.run)] if looks_after_folder else ():
                print(f"{config.stage.name}: {line}", file=sys.stderr)
            return DONE
        if looks_after_folder:
            _begin(config, index, world_size=world_size)
        if is_rank or world_size == 1:
            return run_rank(config, index)
        return start_ranks(config, [str(config_file), *overrides])


def run_rank(config: TrainConfig, index: Index) -> int:
    """Train as one rank of a world, or as the only one."""
    warnings.filterwarnings("ignore", module=r"(deepspeed|accelerate|torch)\b")
    from .distributed import process_group
    from .trainer import Trainer

    with process_group() as ranks:
        outcome = Trainer(config, index, ranks=ranks).train()
    return DONE if outcome == "done" else STOPPED


def start_ranks(config: TrainConfig, arguments: Sequence[str]) -> int:
    """Run all processes of the config to their end; return the first exit code that is not 0.

    arguments: of training.launcher.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # a child that stops early is no news
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // config.processes)))
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=config.processes,
        run_id=str(os.getpid()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle="SIGHUP",  # SIGTERM and SIGUSR1 are ours
    )
    os.environ[LAUNCHER] = str(os.getpid())
    with signals_to_file(config.run):
        try:
            elastic_launch(launch, sys.executable)("-m", "training.launcher", *arguments)
        except ChildFailedError as error:
            code = error.get_first_failure()[1].exitcode
            return code if code > 0 else 1
        finally:
            del os.environ[LAUNCHER]
    return DONE


def finished(config: TrainConfig) -> bool:
    """Tell whether the newest checkpoint is whole and holds the last step."""
    return any(step_of(folder) >= config.steps and not faults(folder) for folder in committed(config.run)[:1])


def leave(code: int) -> NoReturn:
    """End this process without taking the interpreter down.

    A thread of gloo may still let go of a tensor that Python knows, and a process that does so while its interpreter
    ends is aborted. It is rare, and happens after all was saved.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _begin(config: TrainConfig, index: Index, *, world_size: int) -> None:
    """Say what was asked for before anything else happens: in the run folder, and on the terminal."""
    prepare(config, content=index.content)
    (config.run / STOP).unlink(missing_ok=True)
    start_mirror(config.run, config.wandb, follows=True)
    for line in shown(config, world_size=world_size, samples=index.samples):
        print(f"{config.stage.name}: {line}", file=sys.stderr)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != ACCEPT_NEW_DATA]
    accepts = ACCEPT_NEW_DATA in sys.argv
    leave(exit_code_of(lambda: train(Path(arguments[0]), arguments[1:], accepts_new_data=accepts)))
