"""One training over many processes, by what torchrun itself runs.

On one machine we are torchrun. On several, torchrun on each of them starts our processes (`corgi submit` writes the
line), and each of those finds itself to be a rank already.
"""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from .config import TrainConfig
from .runfolder import STOP

CHILD = "CORGI_CHILD"  # in the environment of processes that we started: who did
PR_SET_PDEATHSIG = 1  # of prctl(2): the signal this process gets when its parent dies


@dataclass(frozen=True)
class Place:
    """Where this process stands before anything is started."""

    world_size: int
    is_rank: bool  # a launcher has made this process a rank
    first: bool  # of all


def is_child() -> bool:
    """Whether one of us started this process."""
    return CHILD in os.environ


def die_with_parent() -> None:
    """A child whose launcher is killed must not train on behind the back of the next one. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[CHILD]):  # it was killed before we could say so
        sys.exit("corgi: the launcher is gone")


def place(config: TrainConfig) -> Place:
    """As torchrun says, else as the config does."""
    if "RANK" in os.environ:
        return Place(int(os.environ["WORLD_SIZE"]), is_rank=True, first=os.environ["RANK"] == "0")
    return Place(config.processes, is_rank=False, first=True)


def spread(config: TrainConfig, arguments: Sequence[str]) -> int:
    """Runs all processes of the config to their end; returns the exit code of the first that left with another than 0.

    arguments: of training.launch.
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
    os.environ[CHILD] = str(os.getpid())
    with signals_become_a_file(config.run / STOP):
        try:
            elastic_launch(launch, sys.executable)("-m", "training.launch", *arguments)
        except ChildFailedError as error:
            code = error.get_first_failure()[1].exitcode
            return code if code > 0 else 1
        finally:
            del os.environ[CHILD]
    return 0


@contextmanager
def signals_become_a_file(file: Path) -> Iterator[None]:
    """Inside, SIGTERM and SIGUSR1 write the file that asks the children to save and leave."""

    def write(number: int, frame: FrameType | None) -> None:
        file.touch()

    before = {number: signal.signal(number, write) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
