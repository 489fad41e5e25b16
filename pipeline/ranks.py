"""Which share of the shards is ours: as somebody typed it, or as what started this process says in its environment.

    --rank 3 --world-size 8                           what was typed goes before all else
    RANK=3 WORLD_SIZE=8                               torchrun and its kin
    JOB_COMPLETION_INDEX=3 --world-size 8             a Kubernetes Indexed Job, which does not say how many there are
    SLURM_ARRAY_TASK_ID=3, _MIN, _MAX, _STEP, _COUNT  a task of an array

The first of these that is there is taken, and a line says which. Nothing there: all shards.
"""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from configs import UserError

INDEX = "JOB_COMPLETION_INDEX"
ARRAY = "SLURM_ARRAY_TASK_ID"
STARTERS = ("RANK", "WORLD_SIZE", INDEX, ARRAY)  # a command that has the whole run in hand takes them from its children
Share = tuple[int, int] | None


class Ranks(NamedTuple):
    """A share of the shards."""

    rank: int
    world_size: int
    source: str = ""  # what said so; empty: nobody did, or who typed the command


def ranks_of(rank: int | None, world_size: int | None, *, environment: Mapping[str, str] = os.environ) -> Ranks:
    """Return the share of this process. rank, world_size: as typed; None: not.

    Raises UserError where only one of the two is known, or what the environment says cannot be.
    """
    if rank is not None and world_size is not None:
        return Ranks(rank, world_size)
    sources: dict[str, Callable[[Mapping[str, str], int | None], Share]] = {
        "RANK and WORLD_SIZE": _torchrun,
        INDEX: _indexed_job,
        ARRAY: _array,
    }
    for name, ask in sources.items():
        found = ask(environment, world_size)
        if found:
            return Ranks(found[0] if rank is None else rank, world_size or found[1], name)
    if rank is not None:
        raise UserError(f"--rank {rank} of how many? give --world-size, too")
    return Ranks(0, world_size or 1)


def whole_run(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing says that a process has only a share."""
    return {name: value for name, value in environment.items() if name not in STARTERS}


def _torchrun(environment: Mapping[str, str], world_size: int | None) -> Share:
    if not {"RANK", "WORLD_SIZE"} <= environment.keys():
        return None
    return _number(environment, "RANK"), _number(environment, "WORLD_SIZE")


def _indexed_job(environment: Mapping[str, str], world_size: int | None) -> Share:
    if INDEX not in environment:
        return None
    if world_size is None:
        raise UserError(
            f"{INDEX} says that this is number {environment[INDEX]}, and nothing says of how many: give the job's "
            "`completions` as --world-size"
        )
    return _number(environment, INDEX), world_size


def _array(environment: Mapping[str, str], world_size: int | None) -> Share:
    if ARRAY not in environment:
        return None
    task = _number(environment, ARRAY)
    if world_size is not None:  # a task that is submitted again alone keeps its number, and is not counted from there
        return task, world_size
    first, last, step, count = (
        _number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("MIN", "MAX", "STEP", "COUNT")
    )
    if step < 1 or first + (count - 1) * step != last:
        raise UserError(
            f"{ARRAY} is {task}, in an array of {count} tasks from {first} to {last} with gaps: which share is it? "
            "give --rank and --world-size"
        )
    return (task - first) // step, count


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdecimal():
        raise UserError(f"{name} is {text!r} in the environment, but must be a number; or give --rank and --world-size")
    return int(text)
