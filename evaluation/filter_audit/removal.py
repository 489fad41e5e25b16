"""Who is removed more often than all others: by language, identity term, skin-tone emoji and host.

Of the pairs that have an image. A group is compared with the rest; what it says is that the rules fall unevenly, not
why: pages that speak of a group may differ in other ways.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import PipelineConfig
from pipeline.decisions.over_shards import over_shards
from storage import keep_list, pairs, scores
from storage.pairs import host_of
from storage.plan import shards_of
from storage.shard import SCORES, Shard

from .intervals import Difference, Share, newcombe, wilson

TERMS = (
    *("woman", "women", "man", "men", "girl", "girls", "boy", "boys", "female", "male", "trans", "transgender"),
    *("gay", "lesbian", "bisexual", "queer", "lgbt", "lgbtq", "straight", "nonbinary"),
    *("black", "white", "asian", "african", "american", "latino", "latina", "hispanic", "arab", "indian", "chinese"),
    *("mexican", "indigenous", "roma", "immigrant", "refugee"),
    *("muslim", "islam", "jewish", "jew", "christian", "catholic", "hindu", "buddhist", "sikh", "atheist"),
    *("deaf", "blind", "disabled", "autistic", "wheelchair", "elderly", "old", "young"),
)
ANY_TERM = rf"(?i)\b({'|'.join(TERMS)})\b"
TONES = {"\U0001f3fb": "light", "\U0001f3fc": "medium-light", "\U0001f3fd": "medium", "\U0001f3fe": "medium-dark"}
TONES |= {"\U0001f3ff": "dark"}
ANY_TONE = "[\U0001f3fb-\U0001f3ff]"
KINDS = ("language", "identity term", "skin tone", "host")
FEWEST = 30  # pairs of a group, or it is not told
MOST = 15  # groups of a kind that are told, those of which most pairs are removed
MOST_COUNTED = 200_000  # groups in memory; beyond, those of which few were seen are forgotten

Group = tuple[str, str]  # kind, name


class Removal(NamedTuple):
    """One group beside all other pairs."""

    kind: str
    group: str
    removed: Share
    others: Share
    difference: Difference
    rule: str  # the one that takes most of it first; empty where none is removed


class Counted(NamedTuple):
    """Pairs of groups."""

    all: Counter[Group]
    removed: Counter[tuple[str, str, str]]  # kind, name, the first rule that they failed
    pairs: int
    lost: int


def removals(config: PipelineConfig) -> list[Removal]:
    """Return the groups of each kind, those that differ most first. Raises UserError before `select`."""
    everyone, removed, total, lost = Counter[Group](), Counter[tuple[str, str, str]](), 0, 0
    for counted in over_shards(partial(_count), shards_of(config.run), workers=config.workers):
        everyone.update(counted.all)
        removed.update(counted.removed)
        total, lost = total + counted.pairs, lost + counted.lost
        if len(everyone) > MOST_COUNTED:
            everyone = Counter(dict(everyone.most_common(MOST_COUNTED // 2)))
            removed = Counter({key: count for key, count in removed.items() if key[:2] in everyone})
    rules: dict[Group, Counter[str]] = {}
    for (kind, group, rule), count in removed.items():
        rules.setdefault((kind, group), Counter())[rule] += count
    found = []
    for (kind, group), count in everyone.items():
        if count >= FEWEST and total > count:
            taken = rules.get((kind, group), Counter())
            own, others = wilson(taken.total(), count), wilson(lost - taken.total(), total - count)
            rule = taken.most_common(1)[0][0] if taken else ""
            found.append(Removal(kind, group, own, others, newcombe(own, others), rule))
    found.sort(key=lambda each: (KINDS.index(each.kind), -each.difference.difference, each.group))
    return [each for kind in KINDS for each in [each for each in found if each.kind == kind][:MOST]]


def _count(shard: Shard) -> Counted:
    keep = keep_list.read(shard, ["failed", "caption"])
    first = [names[0] if names else "" for names in keep["failed"].to_pylist()]
    everyone, removed = Counter[Group](), Counter[tuple[str, str, str]]()
    for row, kind, group in _groups(shard, keep["caption"]):
        everyone[kind, group] += 1
        if first[row]:
            removed[kind, group, first[row]] += 1
    return Counted(everyone, removed, len(first), sum(map(bool, first)))


def _groups(shard: Shard, captions: pa.ChunkedArray) -> Iterator[tuple[int, str, str]]:
    """Yield (row, kind, group): a row is of a group once."""
    if shard.path(SCORES).exists() and "language" in scores.names(shard):
        table = scores.with_scores(pairs.stored(shard, ["key"]), shard, ["language"])
        yield from ((row, "language", str(name)) for row, name in enumerate(table["language"].to_pylist()))
    for pattern, kind in ((ANY_TERM, "identity term"), (ANY_TONE, "skin tone")):
        rows = pc.indices_nonzero(pc.fill_null(pc.match_substring_regex(captions, pattern), False)).to_pylist()
        for row in rows:
            words = {word.lower() for word in re.findall(pattern, captions[row].as_py())}
            yield from ((row, kind, TONES.get(word, word)) for word in words)
    for row, url in enumerate(pairs.stored(shard, ["url"])["url"].to_pylist()):
        yield row, "host", host_of(url or "")
