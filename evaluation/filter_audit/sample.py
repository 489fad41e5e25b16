"""Are the rules right? Pairs drawn for a person to look at, and what the labels say of each rule.

RUN/audit/sample.jsonl   key, rule, shard, row: of each rule some of the pairs that fail it; rule "" is of kept pairs
                         asked: digest of what the rule asked for then; of kept pairs, of all rules
RUN/audit/labels.jsonl   key, rule, label, who, time: a line a decision, the last one of a pair and rule counts

A pair that fails a rule is labelled right or wrong: is it what the rule is to find? A kept pair is fit, or is labelled
with the rule that should have found it. `unsure` counts for nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from configs import UserError, fingerprint
from pipeline.config import PipelineConfig
from pipeline.decisions.over_shards import over_shards
from pipeline.decisions.overlaps import Overlaps
from pipeline.select import SelectConfig
from storage import keep_list
from storage.atomic import commit_text
from storage.exports import AUDIT
from storage.plan import shards_of
from storage.shard import Shard
from storage.typed import typed

from .intervals import Share, wilson

FOLDER = Path(AUDIT)
SAMPLE, LABELS = FOLDER / "sample.jsonl", FOLDER / "labels.jsonl"
RIGHT, WRONG, FIT, UNSURE = "right", "wrong", "fit", "unsure"


class Drawn(NamedTuple):
    """One pair to look at."""

    key: str
    rule: str  # that it fails; empty: it is kept
    shard: int
    row: int
    asked: str = ""  # empty: an earlier version of Corgi drew it, and nothing is known


class RuleFigures(NamedTuple):
    """What labels say of one rule."""

    rule: str
    precision: Share  # of the pairs that fail it, those that it is right to drop
    missed: Share  # of the kept pairs, those that it should have found
    recall: Share  # of the pairs that it finds or that are kept: found / (found + missed), for the whole run


def draw(config: PipelineConfig, *, of_each: int, seed: int = 0) -> list[Drawn]:
    """Draw pairs of every rule that takes any, and of those that are kept, at random but alike each time; write them.

    of_each: how many of each rule at most.
    """
    best: dict[str, list[tuple[bytes, Drawn]]] = {}
    for found in over_shards(partial(_draw, of_each, seed), shards_of(config.run), workers=config.workers):
        for rule, some in found.items():
            best[rule] = nsmallest(of_each, [*best.get(rule, []), *some])
    rules = [name for name in (*config.select.lists, *config.select.rules, "") if name in best]
    asked = _asked(config.select)
    drawn = [each._replace(asked=asked[rule]) for rule in rules for _, each in best[rule]]
    if not drawn:
        raise UserError(f'{config.run} has no pair to look at; run "{typed(config.run, "select")}" first')
    commit_text(config.run / SAMPLE, "".join(json.dumps(each._asdict()) + "\n" for each in drawn))
    return drawn


def changed_since(config: PipelineConfig, drawn: Iterable[Drawn]) -> list[str]:
    """Return the rules that ask for something else than when their pairs were drawn, "" for those of kept pairs."""
    asked = _asked(config.select)
    return sorted({each.rule for each in drawn if each.asked and each.asked != asked.get(each.rule, each.asked)})


def _asked(select: SelectConfig) -> dict[str, str]:
    """Return a digest of what each rule and each list asks for, and under "" of all that a pair must pass."""
    asked: dict[str, object] = {**{name: given.content for name, given in select.lists.items()}, **select.rules}
    return {name: fingerprint("asked", words) for name, words in (*asked.items(), ("", asked))}


def _draw(of_each: int, seed: int, shard: Shard) -> dict[str, list[tuple[bytes, Drawn]]]:
    keep = keep_list.read(shard, ["failed"])
    by_rule: dict[str, list[tuple[str, int]]] = {}
    for row, (key, failed) in enumerate(zip(keep["key"].to_pylist(), keep["failed"].to_pylist(), strict=True)):
        for rule in failed or [""]:
            by_rule.setdefault(rule, []).append((key, row))
    return {
        rule: nsmallest(of_each, ((_lot(seed, rule, key), Drawn(key, rule, shard.number, row)) for key, row in rows))
        for rule, rows in by_rule.items()
    }


def _lot(seed: int, rule: str, key: str) -> bytes:
    return blake2b(f"{seed} {rule} {key}".encode(), digest_size=8).digest()


def read_sample(run: Path) -> list[Drawn]:
    """Return the pairs that were drawn. Raises UserError where none were."""
    path = run / SAMPLE
    if not path.exists():
        raise UserError(f'{path} is not there; draw one with "corgi audit filters {run} --sample 25"')
    return [Drawn(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def read_labels(path: Path) -> dict[tuple[str, str], str]:
    """Return (key, rule) -> the last label. Raises UserError for a line that is none."""
    labels = {}
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        try:
            said = json.loads(line)
            labels[str(said["key"]), str(said["rule"])] = str(said["label"])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number} is no label; a line is key, rule and label as JSON") from None
    return labels


def figures(counted: Overlaps, drawn: Iterable[Drawn], labels: Mapping[tuple[str, str], str]) -> list[RuleFigures]:
    """Return precision and recall of every rule of which some drawn pair is labelled."""
    said = [(each.rule, labels[each.key, each.rule]) for each in drawn if (each.key, each.rule) in labels]
    by_rule = {rule: Counter(label for other, label in said if other == rule) for rule in counted.rules}
    kept = Counter(label for rule, label in said if not rule and label != UNSURE)
    return [
        _figures(rule, labelled, kept, counted)
        for rule, labelled in by_rule.items()
        if labelled[RIGHT] + labelled[WRONG] or kept[rule]
    ]


def _figures(rule: str, labelled: Mapping[str, int], kept: Counter[str], counted: Overlaps) -> RuleFigures:
    precision = wilson(labelled.get(RIGHT, 0), labelled.get(RIGHT, 0) + labelled.get(WRONG, 0))
    missed = wilson(kept[rule], kept.total())
    dropped = counted.rules[rule].alone

    def recall(right: float, overlooked: float) -> float:
        found, not_found = dropped * right, counted.kept * overlooked
        return found / (found + not_found) if found + not_found else 0.0

    # Both ends at once are further apart than 95 %: it is rather too wide than too narrow.
    ends = recall(precision.low, missed.high), recall(precision.high, missed.low)
    middle = recall(precision.share, missed.share)
    return RuleFigures(rule, precision, missed, Share(middle, *ends, labelled.get(RIGHT, 0), sum(labelled.values())))


def lines_of(found: Iterable[RuleFigures]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the cells of a table."""
    for each in found:
        recall = str(each.recall) if each.missed.of and each.precision.of else "no kept pair is labelled"
        yield each.rule, str(each.precision), str(each.missed), recall
