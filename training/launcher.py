"""`corgi train CONFIG`: from a config to a training in one process or in many, and to an exit code.

    one process       in this one
    processes: 8      this one looks after eight of them (training.supervisor)
    many machines     one launcher on each, which are told where to meet (training.nodes); `corgi submit` writes it
    under torchrun    this process is one rank, and torchrun looks after it

Exit codes: 0 done; 75 stopped early, to be run again: it was asked to by SIGTERM, SIGUSR1, SIGINT or a file `stop` in
the run folder, and has saved; or a rank was killed, or hung, and the last checkpoint stands; 93 it gets nowhere.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from configs import UserError, exit_code_of, load, refuse
from pipeline.mirror import start_mirror
from storage.checkpoint import committed, faults, remove_torn, step_of
from storage.run import STOP

from . import attempts
from .check import problems_of
from .config import TrainConfig, shown
from .data.index import Index, read_index
from .ending import last_lines
from .nodes import Ending, Node, Nodes
from .run_folder import ACCEPT_NEW_DATA, check, lock, prepare
from .vital_signs import DONE, LAUNCHER, LOST_PEER, STOPPED, attend_to_launcher, is_lost_peer


def train(
    config_file: Path,
    overrides: Sequence[str] = (),
    *,
    accepts_new_data: bool = False,
    node: Node = Node(),
    processes: int | None = None,
) -> int:
    """Train one stage, or go on where it stopped; return the exit code.

    accepts_new_data: goes on where the index has changed. node: this machine among several; processes: on each of them,
    None: as the config says. Raises UserError for what a person can mend; the run folder is then as it was.
    """
    config = load(TrainConfig, config_file, overrides)
    if LAUNCHER in os.environ:
        attend_to_launcher()
        return run_rank(config, read_index(config.data))
    if "RANK" in os.environ:  # torchrun has made it one
        world_size, run = int(os.environ["WORLD_SIZE"]), partial(run_rank, config)
        if os.environ["RANK"] == "0":
            return in_folder(config, run, world_size=world_size, accepts_new_data=accepts_new_data)
        return DONE if finished(config) else run(read_index(config.data))
    here = processes or config.processes
    known: dict[str, Any] = {"world_size": node.total * here, "here": here, "accepts_new_data": accepts_new_data}
    if node.total * here == 1:
        return in_folder(config, partial(run_rank, config), **known)
    with Nodes(node) as nodes:
        start = partial(start_ranks, config, [str(config_file), *overrides], nodes, processes=here)
        if not node.is_first:
            return start()
        begin = partial(in_folder, config, lambda index: start(), **known)
        try:  # an error is told before the others leave: a cluster ends this machine as soon as one of them has
            code = begin() if node.total == 1 else exit_code_of(begin)
        except Exception as error:
            nodes.end(Ending(getattr(error, "exit_code", 1), ""))  # else the other machines would wait for this one
            raise
        return nodes.end(Ending(code, "")).code


def in_folder(
    config: TrainConfig,
    run: Callable[[Index], int],
    *,
    world_size: int,
    accepts_new_data: bool,
    here: int | None = None,
) -> int:
    """Look whether the training can go on in its folder, and let it, with nobody else in there; return its exit code.

    here: processes on this machine, None where another program has started them. By the first process alone.
    """
    index = read_index(config.data)
    check(config, index, accepts_new_data=accepts_new_data)  # before the lock, which makes the folder
    refuse(problems_of(config, world_size=world_size, here=here is not None, processes=here))
    with lock(config.run):
        check(config, index, accepts_new_data=accepts_new_data)  # again: it may have been another's until now
        if finished(config):
            done = f"{config.steps:,} steps are done already, see {config.run}"
            for line in [done, *last_lines(config.run)]:
                print(f"{config.stage.name}: {line}", file=sys.stderr)
            return DONE
        _begin(config, index, world_size=world_size)
        try:
            code = run(index)
        except UserError:
            attempts.forget(config)
            raise
        if code != STOPPED:
            attempts.forget(config)
    return code


def run_rank(config: TrainConfig, index: Index) -> int:
    """Train as one rank of a world, or as the only one."""
    warnings.filterwarnings("ignore", module=r"(deepspeed|accelerate|torch)\b")
    from .distributed import process_group
    from .trainer import Trainer

    try:
        with process_group(timeout_s=60 * config.health.hang_min) as ranks:
            outcome = Trainer(config, index, ranks=ranks).train()
    except Exception as error:
        if LAUNCHER in os.environ and is_lost_peer(error):
            return LOST_PEER  # it knows, and says, which one is gone
        raise
    return DONE if outcome == "done" else STOPPED


def start_ranks(config: TrainConfig, arguments: Sequence[str], nodes: Nodes, *, processes: int) -> int:
    """Run all ranks of this machine to their end; return the exit code. arguments: of training.launcher."""
    from .supervisor import supervise

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    command = [sys.executable, "-m", "training.launcher", *arguments]
    return supervise(command, nodes, processes=processes, health=config.health)


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
    attempts.begin(config)
    prepare(config, content=index.content)
    (config.run / STOP).unlink(missing_ok=True)
    for name in remove_torn(config.run):
        print(f"{config.stage.name}: {name} was never committed; it is removed", file=sys.stderr)
    start_mirror(config.run, config.wandb, follows=True)
    for line in shown(config, world_size=world_size, samples=index.samples):
        print(f"{config.stage.name}: {line}", file=sys.stderr)


def _main(arguments: Sequence[str]) -> int:
    """Train as a command line says: that of `corgi train`, and where this machine stands among several."""
    parser = argparse.ArgumentParser(prog="python -m training.launcher", allow_abbrev=False)
    parser.add_argument("config", type=Path, help="YAML of one stage's training")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    parser.add_argument(ACCEPT_NEW_DATA, action="store_true")
    parser.add_argument("--nodes", type=int, default=1, help="machines of the training")
    parser.add_argument("--node", type=int, default=0, help="which of them this is, from 0")
    parser.add_argument("--processes", type=int, default=None, help="on each machine; else the config's")
    parser.add_argument("--meet", default="127.0.0.1:0", metavar="HOST:PORT", help="a free port of the first machine")
    given = parser.parse_intermixed_args(arguments)
    host, _, port = given.meet.rpartition(":")
    return train(
        given.config,
        given.overrides,
        accepts_new_data=given.accept_new_data,
        node=Node(given.node, given.nodes, host, int(port)),
        processes=given.processes,
    )


if __name__ == "__main__":
    leave(exit_code_of(lambda: _main(sys.argv[1:])))
