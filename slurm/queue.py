"""What squeue says of every task of some jobs, those that ended a while ago among them: one question, no accounting."""

import re
from collections.abc import Collection
from typing import NamedTuple

from . import scheduler

FORMAT = "%F|%K|%T|%M|%C|%D|%b|%N|%r"
ACTIVE = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
ENDED_BY = {  # how the cluster itself ends a task, and what follows from it
    "OUT_OF_MEMORY": "ran out of memory: more of mem_gb, or fewer workers",
    "TIMEOUT": "was out of time: more of time_min; the same `corgi submit` goes on",
    "NODE_FAIL": "lost its node; the same `corgi submit` goes on",
    "BOOT_FAIL": "lost its node; the same `corgi submit` goes on",
    "PREEMPTED": "was preempted; the same `corgi submit` goes on",
    "DEADLINE": "was out of time: the cluster's deadline",
    "CANCELLED": "was cancelled",
}
REASONS = {  # why a task waits, where SLURM's word is not plain
    "None": "",
    "Priority": "others come first",
    "Resources": "no nodes are free",
    "Dependency": "",  # the edges say it
    "BeginTime": "taken up again soon",
    "JobArrayTaskLimit": "at_once",
    "DependencyNeverSatisfied": "what it waits for failed",
    "JobHeldUser": "held: `scontrol release` lets it go on",
    "JobHeldAdmin": "held by an administrator",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is not in use",
    "Reservation": "its reservation has not begun",
}


class Queued(NamedTuple):
    """One task, as the cluster has it now."""

    state: str  # SLURM's word
    seconds: int  # that it has run, since it was taken up last
    cores: int  # on all its nodes
    gpus: int
    nodes: str
    reason: str  # why it waits

    @property
    def is_active(self) -> bool:
        """Tell whether it has nodes."""
        return self.state in ACTIVE

    @property
    def is_waiting(self) -> bool:
        """Tell whether it will run, or run again."""
        return self.state in WAITING


def tasks_of(ids: Collection[int]) -> dict[tuple[int, int | None], Queued]:
    """Return job and index of a task, None where the job is no array -> where it stands. UserError: nobody answers."""
    found = {}
    for line in scheduler.listed(ids, FORMAT).splitlines():
        job, index, state, time, cores, nodes, gres, names, reason = line.split("|", 8)
        gpus = sum(int(count or 1) for count in re.findall(r"gpu(?::[A-Za-z][^:,]*)?(?::(\d+))?(?:,|\(|$)", gres))
        told = Queued(state, _seconds(time), int(cores), gpus * int(nodes), names, REASONS.get(reason, reason))
        found[int(job), int(index) if index.isdecimal() else None] = told
    return found


def _seconds(text: str) -> int:
    """Return the seconds of 2-03:04:05, 3:04 or INVALID."""
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")] if re.fullmatch(r"[\d:]+", clock) else [0]
    return int(days or 0) * 86_400 + sum(part * 60**place for place, part in enumerate(reversed(parts)))
