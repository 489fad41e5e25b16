"""One training over many processes and nodes, by the agent that torchrun runs.

On SLURM `srun --ntasks-per-node=1 corgi train CONFIG` starts one of us on each node. We start the node's processes,
turn signals into a file that asks them to save and leave, and pass on what they left with.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from configs import UserError

from .config import TrainConfig
from .runfolder import STOP

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

CHILD = "CORGI_CHILD"  # in the environment of processes that we started
FIRST_PORT, PORTS = 20_000, 20_000  # nodes meet at a port that the job's number chooses, so jobs do not collide


@dataclass(frozen=True)
class Place:
    """Where this process stands before anything is started."""

    node: int
    nodes: int
    world_size: int
    is_rank: bool  # somebody else's launcher has made this process a rank
    first: bool  # of all


def is_child() -> bool:
    """Whether one of us started this process."""
    return CHILD in os.environ


def place(config: TrainConfig) -> Place:
    """As torchrun or srun say; one node where neither says anything."""
    if "RANK" in os.environ:
        rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return Place(0, 1, world_size, is_rank=True, first=rank == 0)
    node, nodes = int(os.environ.get("SLURM_NODEID", 0)), int(os.environ.get("SLURM_STEP_NUM_NODES", 1))
    return Place(node, nodes, nodes * config.processes, is_rank=False, first=node == 0)


def spread(config: TrainConfig, arguments: Sequence[str], *, place: Place) -> int:
    """Runs this node's processes to their end; returns the exit code of the one that left first with another than 0."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # a child that stops early is no news
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // config.processes)))
    os.environ[CHILD] = "1"
    command = [sys.executable, "-m", "training.launch", *arguments]
    with signals_become_a_file(config.run / STOP):
        try:
            elastic_launch(launch_config(config, place=place), command[0])(*command[1:])
        except ChildFailedError as error:
            code = error.get_first_failure()[1].exitcode
            return code if code > 0 else 1
        finally:
            del os.environ[CHILD]
    return 0


def launch_config(config: TrainConfig, *, place: Place) -> "LaunchConfig":
    """How the agents of all nodes find each other; on one node any free port will do."""
    from torch.distributed.launcher.api import LaunchConfig

    job = os.environ.get("SLURM_JOB_ID")
    backend, endpoint, further = "c10d", "localhost:0", {}
    if place.nodes > 1:
        if job is None or "MASTER_ADDR" not in os.environ:
            raise UserError("several nodes need MASTER_ADDR, the name of the first, and SLURM_JOB_ID")
        port = os.environ.get("MASTER_PORT", FIRST_PORT + int(job) % PORTS)
        backend, endpoint = "static", f"{os.environ['MASTER_ADDR']}:{port}"
        further = {"rank": place.node, "timeout": 900}
    return LaunchConfig(
        min_nodes=place.nodes,
        max_nodes=place.nodes,
        nproc_per_node=config.processes,
        run_id=f"{job or os.getpid()}.{os.environ.get('SLURM_RESTART_COUNT', 0)}",
        rdzv_backend=backend,
        rdzv_endpoint=endpoint,
        rdzv_configs=further,
        local_addr="localhost" if place.nodes == 1 else None,
        max_restarts=0,
        signals_to_handle="SIGHUP",  # SIGTERM and SIGUSR1 are ours
    )


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
