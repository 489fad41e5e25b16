"""The funnel: how many pairs each reason took, and examples of each.

A pair is counted once, under the first reason it failed in the stated order: the plan's reasons, what happened to the
download, then the rules in the order of the policy. All reasons are kept where they were found.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from configs.redacted import redacted
from storage import keep_list, pairs
from storage.atomic import commit_json
from storage.plan import dropped, shards_of
from storage.shard import KEEP, PAIRS, URLS, Shard

from .config import PipelineConfig
from .hosts import Hosts

EXAMPLES = 8  # pairs shown for a reason
FUNNEL = Path("report/funnel.json")
SHOWN = ("key", "url", "caption", "detail", "shard", "failed", "reasons")
WITH_URLS = ("url", "detail")  # may name a url, with a password or a signature in it


class Funnel:
    """Counts by step and reason, and by "step.reason" examples (key, url, caption, detail, shard)."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {"plan": Counter(), "download": Counter(), "select": Counter()}
        self.examples: dict[str, list[dict[str, Any]]] = {}
        self.totals: Counter[str] = Counter()
        self.hosts = Hosts()

    def lose(self, step: str, reason: str, pair: Mapping[str, Any], *, shard: int | None = None) -> None:
        """Count a pair that a step dropped."""
        self.counts[step][reason] += 1
        examples = self.examples.setdefault(f"{step}.{reason}", [])
        if len(examples) < EXAMPLES:
            known = {**pair, "shard": shard}
            shown = {name: known[name] for name in SHOWN if known.get(name) is not None}
            examples.append(shown | {name: redacted(shown[name]) for name in WITH_URLS if name in shown})

    def take(self, shard: Shard) -> None:
        """Count all pairs of a shard; those that no step has decided on yet are `unfetched` or `unjudged`."""
        if not shard.path(PAIRS).exists():
            self.totals["unfetched"] += pq.read_metadata(shard.path(URLS)).num_rows if shard.path(URLS).exists() else 0
            return
        for pair in pairs.lost(shard, ["key", "url", "caption", "status", "detail"]).to_pylist():
            self.lose("download", pair["status"], pair, shard=shard.number)
            self.hosts.lose(pair)
        self.hosts.take(shard)
        if not shard.path(KEEP).exists():
            self.totals["unjudged"] += len(pairs.stored(shard, ["key"]))
            return
        for pair in keep_list.read(shard, ["kept", "held_out", "failed", "caption"]).to_pylist():
            if pair["kept"]:
                self.totals["kept"] += 1
                self.totals["held_out" if pair["held_out"] else "train"] += 1
            else:
                self.lose("select", pair["failed"][0], pair, shard=shard.number)


def funnel(config: PipelineConfig) -> dict[str, Any]:
    """Return totals, counts and examples of a run, and what its hosts asked for and served.

    `rows` in the table = sum of all reasons + `kept`; `kept` = `train` + `held_out`. While steps are missing there are
    `unfetched` and `unjudged` pairs, too.
    """
    losses = Funnel()
    for row in dropped(config.run):
        losses.lose("plan", row["reasons"][0], row)
    for shard in shards_of(config.run):
        losses.take(shard)
    came_to = sum(losses.totals[name] for name in ("kept", "unfetched", "unjudged"))
    losses.totals["rows"] = came_to + sum(step.total() for step in losses.counts.values())
    counts = {step: dict(reasons.most_common()) for step, reasons in losses.counts.items()}
    counts["select"] = {name: losses.counts["select"][name] for name in (*config.select.lists, *config.select.rules)}
    return {"totals": dict(losses.totals), "counts": counts, "examples": losses.examples, **losses.hosts.counted()}


def write_funnel(config: PipelineConfig) -> dict[str, Any]:
    """Write report/funnel.json."""
    counted = funnel(config)
    commit_json(config.run / FUNNEL, counted)
    return counted
