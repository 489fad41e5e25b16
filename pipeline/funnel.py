"""The funnel: how many pairs each reason took, and examples of each.

A pair is counted once, under the first reason it failed in the stated order: the plan's reasons, what happened to the
download, then the rules in the order of the policy. All reasons are kept where they were found.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from .config import PipelineConfig
from .files import commit_json, read_table
from .plan import DROPPED, shards_of
from .shard import KEEP, PAIRS, Shard

EXAMPLES = 8  # pairs shown for a reason
FUNNEL = Path("report/funnel.json")


def funnel(config: PipelineConfig) -> dict[str, Any]:
    """Counts by step and reason, and by "step.reason" examples (key, url, caption, detail, shard).

    `rows` in the table = sum of all reasons + `kept`; `kept` = `train` + `held_out`.
    """
    counts: dict[str, Counter[str]] = {"plan": Counter(), "download": Counter(), "select": Counter()}
    examples: dict[str, list[dict[str, Any]]] = {}
    totals: Counter[str] = Counter()
    for row in pq.read_table(config.run / DROPPED).to_pylist():
        _take("plan", row["reasons"][0], {**row, "shard": None}, counts, examples)
    for shard in shards_of(config.run):
        _take_shard(shard, counts, examples, totals)
    order = list(config.select.rules)
    totals["rows"] = totals["kept"] + sum(sum(step.values()) for step in counts.values())
    return {
        "totals": dict(totals),
        "counts": {
            "plan": dict(counts["plan"].most_common()),
            "download": dict(counts["download"].most_common()),
            "select": {rule: counts["select"][rule] for rule in order},
        },
        "examples": examples,
    }


def write_funnel(config: PipelineConfig) -> dict[str, Any]:
    """Writes report/funnel.json."""
    found = funnel(config)
    commit_json(config.run / FUNNEL, found)
    return found


def _take_shard(
    shard: Shard, counts: dict[str, Counter[str]], examples: dict[str, list[dict[str, Any]]], totals: Counter[str]
) -> None:
    pairs = read_table(shard.path(PAIRS), ["key", "url", "caption", "status", "detail"], made_by="download")
    lost = pairs.filter(pc.not_equal(pairs["status"], "ok")).to_pylist()
    for row in lost:
        _take("download", row["status"], {**row, "shard": shard.number}, counts, examples)
    keep = read_table(shard.path(KEEP), ["key", "kept", "held_out", "failed", "caption"], made_by="select")
    for row in keep.to_pylist():
        if row["kept"]:
            totals["kept"] += 1
            totals["held_out" if row["held_out"] else "train"] += 1
        else:
            _take("select", row["failed"][0], {**row, "shard": shard.number}, counts, examples)


def _take(
    step: str,
    reason: str,
    row: dict[str, Any],
    counts: dict[str, Counter[str]],
    examples: dict[str, list[dict[str, Any]]],
) -> None:
    counts[step][reason] += 1
    shown = examples.setdefault(f"{step}.{reason}", [])
    if len(shown) < EXAMPLES:
        wanted = ("key", "url", "caption", "detail", "shard", "failed", "reasons")
        shown.append({name: row[name] for name in wanted if row.get(name) is not None})
