"""A table of pairs that were kept and lost, with the reason; what report's veil covers has no words and no picture."""

from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from configs import shortened
from configs.redacted import redacted
from pipeline.config import PipelineConfig
from pipeline.funnel import Funnel
from report.funnel import image_of, stored_columns
from report.sensitive import SensitivePairs
from storage import keep_list
from storage.plan import first_dropped, shards_of
from storage.shard import KEEP, PAIRS, Shard

SHARDS = 4  # the first ones that are through; a sync must not read a whole run each time
KEPT = 6  # pairs of each
DROPPED_ROWS = 1000  # of the plan
VEILED = "(veiled)"


class Example(NamedTuple):
    """A row."""

    verdict: str  # kept, or the step that lost it
    reason: str
    key: str
    caption: str
    url: str
    image: np.ndarray | None  # (height, width, 3) uint8


def examples(config: PipelineConfig) -> list[Example]:
    """Return some pairs for each reason by which the first shards lost one, and some that were kept."""
    sensitive, funnel = SensitivePairs(config.select.rules), Funnel()
    for row in first_dropped(config.run, DROPPED_ROWS):
        funnel.lose("plan", row["reasons"][0], row)
    shards = list(islice((shard for shard in shards_of(config.run) if shard.path(KEEP).exists()), SHARDS))
    for shard in shards:
        funnel.take(shard)
    found = []
    for place, pairs in funnel.examples.items():
        step, _, reason = place.partition(".")
        found += [(step, reason, pair) for pair in pairs]
    for shard in shards:
        keep = keep_list.read(shard, ["kept", "caption"])
        found += [
            ("kept", "", {**row, "shard": shard.number}) for row in keep.filter(keep["kept"]).slice(0, KEPT).to_pylist()
        ]
    hateful = sensitive.hateful(pair["caption"] for _, _, pair in found)
    return [_example(config, step, reason, pair, sensitive, hateful) for step, reason, pair in found]


def _example(
    config: PipelineConfig, step: str, reason: str, pair: dict[str, Any], sensitive: SensitivePairs, hateful: set[str]
) -> Example:
    known = _known(config, pair)
    if sensitive.covers({**known, **pair}, hateful):
        return Example(step, reason, pair["key"], VEILED, VEILED, None)
    has_image = known.get("tar_offset") is not None
    image = image_of(Shard(config.run, pair["shard"]), known) if has_image else None
    url = redacted(known.get("url") or pair.get("url") or "")
    return Example(step, reason, pair["key"], shortened(redacted(pair["caption"]), 300), shortened(url, 300), image)


def _known(config: PipelineConfig, pair: dict[str, Any]) -> dict[str, Any]:
    """Return every column of a pair that is stored; nothing of others."""
    if pair.get("shard") is None or not (shard := Shard(config.run, pair["shard"])).path(PAIRS).exists():
        return {}
    table = stored_columns(shard)
    rows = table.filter(pc.equal(table["key"], pair["key"])).to_pylist()
    return rows[0] if rows else {}
