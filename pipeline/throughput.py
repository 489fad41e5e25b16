"""How a step gets on: who is at work on it, how fast, how long it takes yet, what it loses pairs for, what it cost.

All of it is told by files: leases say who is at work, the times of outputs how fast shards are made, the ledger when
work began and how long it took. So it is the same under any engine, and needs no accounting.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from configs import UserError
from storage.footers import exists
from storage.lease import held
from storage.ledger import read
from storage.pairs import OK
from storage.plan import shards_of
from storage.shard import Shard

from .config import PipelineConfig
from .losses import fates_of
from .runner import build
from .status import StepStatus
from .step import LossyStep, ShardStep

SAMPLE = 20  # finished shards, evenly spaced, whose losses stand for all
MOST = 3  # reasons


class Throughput(NamedTuple):
    """How one step gets on."""

    ranks: int = 0  # at work now
    hosts: tuple[str, ...] = ()  # on which
    rate_per_s: float | None = None  # shards, since the first of those at work began; None: none is made yet
    eta_s: float | None = None  # until the last shard; None: nobody is at work, or there is no rate
    reasons: Mapping[str, float] = {}  # share of the pairs lost for each of the most frequent ones
    restarts: int = 0  # times that work on a share began again
    core_hours: float = 0.0  # of work that came to its end
    gpu_hours: float = 0.0
    useful_s: float = 0.0  # spent by ranks that made something


def throughput_of(config: PipelineConfig, statuses: Iterable[StepStatus]) -> dict[str, Throughput]:
    """Return step -> how it gets on."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for line in read(config.run):
        if line.get("event") in ("begin", "step") and "rank" in line:
            lines.setdefault(line["step"], []).append(line)
    at_work = held(config.run)
    found = {}
    for status in statuses:
        ours = [lease for lease in at_work if lease.key.step == status.step]
        said = lines.get(status.step, [])
        rate = _rate(config, status, {lease.key.rank for lease in ours}, said)
        left = status.total - status.states["done"]
        ends = [line for line in said if line["event"] == "step"]
        found[status.step] = Throughput(
            ranks=len(ours),
            hosts=tuple(sorted({lease.host for lease in ours})),
            rate_per_s=rate,
            eta_s=left / rate if rate and ours else None,
            reasons=_reasons(config, status),
            restarts=_restarts(said),
            core_hours=sum(line["seconds"] * line.get("cores", 0) for line in ends) / 3600,
            gpu_hours=sum(line["seconds"] * line.get("gpus", 0) for line in ends) / 3600,
            useful_s=sum(line["seconds"] for line in ends if line["made"]),
        )
    return found


def _restarts(lines: Sequence[Mapping[str, Any]]) -> int:
    """Return how often work on a share began again that had not come to its end; one that did may begin anew."""
    at_work, count = set[tuple[int, int | None]](), 0
    for line in lines:
        if line["event"] == "begin":
            share = line["rank"], line.get("world_size")
            count += share in at_work
            at_work.add(share)
        else:
            at_work = {share for share in at_work if share[0] != line["rank"]}
    return count


def _rate(
    config: PipelineConfig, status: StepStatus, ranks: set[int], lines: Sequence[Mapping[str, Any]]
) -> float | None:
    """Return the shards a second of those who are at work; where nobody is, of who was last."""
    begins = {line["rank"]: line["time"] for line in lines if line["event"] == "begin"}
    since = min((begins[rank] for rank in ranks if rank in begins), default=None)
    step = build(status.step, config)
    if since is None or not isinstance(step, ShardStep):
        last = next((line for line in reversed(lines) if line["event"] == "step" and line["made"]), None)
        return last["made"] / max(last["seconds"], 1e-3) if last else None
    times = (_changed(shard.name(step.writes)) for shard in shards_of(config.run))
    made = sum(changed >= since for changed in times if changed is not None)
    return made / max(time.time() - since, 1e-3) if made else None


def _reasons(config: PipelineConfig, status: StepStatus) -> dict[str, float]:
    """Return the most frequent reasons for which a step lost pairs, by a sample of its finished shards."""
    step = build(status.step, config)
    if not isinstance(step, LossyStep) or not status.states["done"]:
        return {}
    counts = Counter[str]()
    for shard in _sample(step, shards_of(config.run)):
        try:
            counts += Counter({reason: fate.pairs for reason, fate in fates_of(step, shard).items()})
        except (UserError, OSError):  # it is made anew just now
            continue
    total, _ = max(1, counts.total()), counts.pop(OK, None)
    return {reason: count / total for reason, count in counts.most_common(MOST)}


def _sample(step: ShardStep, shards: Sequence[Shard]) -> list[Shard]:
    finished = [shard for shard in shards if exists(shard.name(step.writes))]
    return finished[:: max(1, len(finished) // SAMPLE)][:SAMPLE]


def _changed(path: str) -> float | None:
    try:
        return Path(path).stat().st_mtime
    except FileNotFoundError:
        return None
