"""The launchers of one training, one a machine: where its processes meet, and what ends one of them ends all.

    python -m training.launcher --nodes 4 --node 2 --processes 8 --meet gpu07:15007 base64.yaml

The first one keeps the store in which ranks find each other, so that it outlives any rank, and is the last to leave.
"""

import json
import os
import time
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

import torch.distributed as dist

from configs import UserError

from .vital_signs import STOPPED

HERE = "127.0.0.1"
MEET_S = 300  # machines of one job come up one after the other
LEAVE_S = 30  # that the first waits for the others
POLL_S = 1.0
ENDED, LEFT = "ended", "left"  # keys of the store


class Node(NamedTuple):
    """This machine among all of a training. The defaults: it is the only one."""

    number: int = 0
    total: int = 1
    host: str = HERE  # of the first
    port: int = 0  # there; 0: any that is free

    @property
    def is_first(self) -> bool:
        """Tell whether this machine looks after the run's folder."""
        return self.number == 0


class Ending(NamedTuple):
    """Why a training ends on all machines."""

    code: int
    reason: str  # a line for people; empty where ranks have said it, or nothing needs to be said


class Nodes:
    """`with Nodes(node) as nodes: ... nodes.ended(); nodes.end(Ending(75, "rank 3 was killed by SIGKILL"))`."""

    def __init__(self, node: Node) -> None:
        self.node, self._asked_at = node, 0.0
        timeout = timedelta(seconds=MEET_S)
        try:
            self._store = dist.TCPStore(
                node.host, node.port, is_master=node.is_first, wait_for_workers=False, timeout=timeout
            )
        except (dist.DistError, OSError, RuntimeError) as error:
            place = f"{node.host}:{node.port}"
            raise UserError(
                f"the machines of this training cannot meet at {place}: {' '.join(str(error).split())[:200]}",
                exit_code=1,
            ) from None

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave; the first machine once the others have, or after a while."""
        with suppress(dist.DistError, RuntimeError):
            self._store.add(LEFT, 1)
            deadline = time.monotonic() + LEAVE_S
            while self.node.is_first and self._store.add(LEFT, 0) < self.node.total and time.monotonic() < deadline:
                time.sleep(0.05)

    @property
    def environment(self) -> dict[str, str]:
        """Return what tells a rank where to meet the others: torch's own names, and who keeps the store."""
        return {
            "MASTER_ADDR": self.node.host,
            "MASTER_PORT": str(self._store.port),
            "TORCHELASTIC_USE_AGENT_STORE": str(True),
        }

    def end(self, ending: Ending) -> Ending:
        """Let the training end on all machines; return why it does, which another machine may have said before."""
        try:
            first = self._store.compare_set(ENDED, "", json.dumps(ending))
        except (dist.DistError, RuntimeError):
            return ending
        return Ending(*json.loads(first))

    def ended(self) -> Ending | None:
        """Tell why another machine has ended the training; asked now and then. None: it goes on."""
        if self.node.total == 1 or time.monotonic() < self._asked_at + POLL_S:
            return None
        self._asked_at = time.monotonic()
        try:
            return Ending(*json.loads(self._store.get(ENDED))) if self._store.check([ENDED]) else None
        except (dist.DistError, RuntimeError):
            return Ending(STOPPED, f"the launcher of the first machine, {self.node.host}, is gone")


def host_name() -> str:
    """Return the name of this machine, as the cluster calls it where there is one."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename
