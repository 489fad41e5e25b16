"""The processes of one training: who they are, what each of them keeps, and the few things they tell each other."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .vital_signs import beat

GRACE_S = 60  # by which a collective waits longer for a rank than the launcher, which knows better what is wrong
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}


@dataclass(frozen=True)
class Ranks:
    """This process among all. World size 1 is a world too, so nothing else has a case of its own for it."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Tell whether this process speaks for all: terminal, ledger, W&B, COMMIT."""
        return self.rank == 0


@contextmanager
def process_group(*, timeout_s: float) -> Iterator[Ranks]:
    """Join the other processes as the launcher's environment says; alone where there is no launcher.

    gloo on CPU, nccl on GPUs. A single process needs no port. accelerate reads the environment too, so it is set for
    the time of a training that is alone. timeout_s: in which any two ranks come to each collective.
    """
    on_gpu, alone = torch.cuda.is_available(), "RANK" not in os.environ
    backend = "nccl" if on_gpu else "gloo"
    if alone:
        os.environ |= ALONE
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    rendezvous: dict[str, Any] = {"store": dist.HashStore(), "rank": 0, "world_size": 1} if alone else {}
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s + GRACE_S), **rendezvous)
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for name in ALONE if alone else ():
            del os.environ[name]


def limit_collectives(timeout_s: float) -> None:
    """Give every process group the patience of `process_group`: libraries make some of their own, with another."""
    from torch.distributed import distributed_c10d as c10d

    for group in [*c10d._world.pg_map]:
        c10d._set_pg_timeout(timedelta(seconds=timeout_s + GRACE_S), group)


def partition(sizes: Mapping[str, int], *, world_size: int) -> list[list[str]]:
    """Deal names to the ranks, sorted, so that each has about the same number of elements. A pure function.

    sizes: elements of each parameter. The largest goes first, always to the rank that has least.
    """
    loads, shares = [0] * world_size, [[] for _ in range(world_size)]  # type: list[int], list[list[str]]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        rank = min(range(world_size), key=lambda rank: (loads[rank], rank))
        loads[rank] += sizes[name]
        shares[rank].append(name)
    return [sorted(names) for names in shares]


def all_reduce_sum(values: list[float], *, ranks: Ranks) -> list[float]:
    """Return the sums over all ranks, entry by entry, the same on each. Not-a-number stays in its own entry."""
    if ranks.world_size == 1:
        return values
    summed = torch.tensor(values, dtype=torch.float64, device=ranks.device)
    dist.all_reduce(summed)
    total = summed.tolist()
    beat()  # only now: a GPU is waited for here
    return total


def add_up(tensor: Tensor, *, ranks: Ranks) -> Tensor:
    """Return the sum of all ranks' tensors, on the CPU, the same on each; its type must hold the sums."""
    if ranks.world_size == 1:
        return tensor.cpu()
    summed = tensor.to(ranks.device)
    dist.all_reduce(summed)
    return summed.cpu()


def broadcast(tensor: Tensor, *, source: int, ranks: Ranks) -> Tensor:
    """Return what the rank `source` holds. tensor: of the same shape and type on every rank, and overwritten."""
    if ranks.world_size > 1:
        dist.broadcast(tensor, src=source)
    return tensor


def all_gather(value: Any, *, ranks: Ranks) -> list[Any]:
    """Return what each rank has, in rank order, sent as JSON so that nothing is unpickled. All ranks must call."""
    if ranks.world_size == 1:
        return [value]
    text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(ranks.device)
    own = [float(len(text)) if rank == ranks.rank else 0.0 for rank in range(ranks.world_size)]
    lengths = [int(length) for length in all_reduce_sum(own, ranks=ranks)]
    padded = torch.zeros(max(lengths), dtype=torch.uint8, device=ranks.device)
    padded[: len(text)] = text
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return [json.loads(bytes(part[:length].tolist())) for part, length in zip(parts, lengths, strict=True)]


def barrier(ranks: Ranks) -> None:
    """Return on every rank once each has come here."""
    if ranks.world_size > 1:
        all_reduce_sum([0.0], ranks=ranks)  # on a GPU a barrier would guess the device; a sum knows it
