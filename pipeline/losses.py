"""A step that lost all pairs, or almost all for one reason, must not look like success.

    download: 1,180 of 1,200 pairs are lost for private_address; e.g. http://10.0.0.7/1.jpg
    download: private_address: the host's address is not of the public internet; download.allow_addresses ...

What is looked at are all finished shards of a share, those that were there before among them: so the same command says
the same again, and nothing that comes after it begins by mistake. Their footers tell; rows are only
read in those of older runs.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from storage import fates
from storage.pairs import OK
from storage.shard import Shard
from storage.takedown import TAKEN_DOWN

from .step import LossyStep


class Place(NamedTuple):
    """Where a pair stands."""

    shard: Shard
    row: int


def heavy_losses(step: LossyStep, shards: Iterable[Shard]) -> list[str]:
    """Return two lines on what finished shards lost, none where it is no more than the step tolerates."""
    if step.tolerate_lost >= 1:  # then no file need be opened
        return []
    counts, first = _counted(step, shards)
    total, kept = counts.total(), counts.pop(OK, 0)
    if not counts:
        return []
    reason, most = counts.most_common(1)[0]
    if kept and most <= step.tolerate_lost * total:
        return []
    others = f", the others for {_listed(counts - Counter({reason: most}))}" if most < total - kept else ""
    lost = f"{total - kept:,} of {total:,} pairs are lost"
    lines = [
        f"{lost}, {most:,} of them for {reason}{others}; e.g. {step.example(*first[reason])}",
        f"{reason}: {step.remedy(reason)}; if it is meant to be so, {step.entry.name}.tolerate_lost=1 says so",
    ]
    return [f"{step.entry.name}: {line}" for line in lines]


def _counted(step: LossyStep, shards: Iterable[Shard]) -> tuple[Counter[str], dict[str, Place]]:
    """Count pairs by what became of them, but for those that were taken down; note one of each reason."""
    counts, first = Counter[str](), dict[str, Place]()
    for shard in shards:
        for reason, fate in fates_of(step, shard).items():
            if reason != TAKEN_DOWN:
                counts[reason] += fate.pairs
                first.setdefault(reason, Place(shard, fate.first))
    return counts, first


def fates_of(step: LossyStep, shard: Shard) -> dict[str, fates.Fate]:
    """Return what a finished shard's pairs came to, from the footer; from the table where that does not say."""
    told = fates.read(shard.path(step.writes))
    return told if told is not None else fates.summed(step.fates(shard))


def _listed(counts: Counter[str]) -> str:
    """Return the two most frequent reasons."""
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common(2))
