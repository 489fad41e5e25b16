"""What other rules would keep and lose beside today's, without a score computed or a file written.

nsfw_score < 0.3          takes the place of the one rule that asks for just these columns, or else is one more
nsfw: nsfw_score < 0.3    takes the place of the rule `nsfw`, or is one more of that name
nsfw: null                the rule `nsfw` is left out
coyo700m                  a policy by name, or the path of one, in the place of all rules

Rules that stay as they are, are not asked again: keep-lists have every rule that a pair failed.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError
from filters.rules import columns_of, failed, holds
from storage import keep_list, scores
from storage.plan import pairs_of, shards_of
from storage.shard import KEEP, PAIRS, SCORES, Shard
from storage.tables import column_names, read_table
from storage.typed import typed

from ..columns import OF_DEDUP
from ..config import PipelineConfig
from ..lists import unlisted
from ..policies import combined, is_policy, read_policy
from ..rule_columns import check_scorers, columns_left_out
from ..runner import build
from ..select import Select, candidates_of, columns_of_lists
from .over_shards import over_shards
from .pairs_at import EXAMPLES, Place, pairs_at

NAMED = re.compile(r"\s*([a-z][a-z0-9_]*):\s+(.+)", re.DOTALL)
UNNAMED = "what_if"


@dataclass
class WhatIf:
    """Today's rules beside others."""

    now: dict[str, str]
    then: dict[str, str]
    rows: int = 0  # pairs with an image
    judged_anew: int = 0  # of them those whose keep-list is not there, or not of today's rules
    kept_now: int = 0
    kept_then: int = 0
    lost: Counter[str] | None = None  # kept now and not then, by the first rule that they fail
    gained: Counter[str] | None = None  # kept then and not now, by the first rule that they fail today
    examples: dict[str, list[dict[str, Any]]] | None = None  # lost, gained -> pairs


def changed_rules(rules: Mapping[str, str], wishes: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return the rules as wished for, see above. known: columns. Raises UserError."""
    then = dict(rules)
    for wish in wishes:
        named = NAMED.fullmatch(wish)
        if is_policy(wish):
            then = combined({}, read_policy(wish))
        elif named:
            name, rule = named[1], named[2].strip()
            then = combined(then, {name: None if rule == "null" else rule})
        else:
            then[_name_of(wish, then, known)] = wish
    for name, rule in then.items():
        if rules.get(name) != rule:
            columns_of([{name: rule}], known)
    return then


def _name_of(rule: str, rules: Mapping[str, str], known: Sequence[str]) -> str:
    """Return the name of the one rule that asks for the same columns, else a new one."""
    asked = columns_of([{UNNAMED: rule}], known)
    same = [name for name, other in rules.items() if _asks_for(name, other, known) == asked]
    if len(same) > 1:
        raise UserError(f"{', '.join(same)} ask for the same columns as {rule!r}; say which it is: '{same[0]}: {rule}'")
    names = [UNNAMED, *(f"{UNNAMED}_{number}" for number in range(2, 100))]
    return same[0] if same else next(name for name in names if name not in rules)


def _asks_for(name: str, rule: str, known: Sequence[str]) -> set[str] | None:
    try:
        return columns_of([{name: rule}], known)
    except UserError:  # its columns are not there yet
        return None


def what_if(config: PipelineConfig, wishes: Sequence[str]) -> WhatIf:
    """Return what the rules as wished for would change. Raises UserError before `score` and `dedup` are done."""
    shards = shards_of(config.run)
    known = known_columns(shards[0]) if shards else []
    now = dict(config.select.rules)
    then = changed_rules(now, wishes, [*known, *columns_left_out(known, config.score)])
    asked = {name: rule for name, rule in then.items() if now.get(name) != rule}
    check_scorers(asked, known, config.score, pairs=sum(pairs_of(config.run)))
    found = WhatIf(now, then, lost=Counter(), gained=Counter())
    places: dict[str, list[Place]] = {"lost": [], "gained": []}
    ask = partial(_ask, build("select", config), found.now, found.then, known)
    for answer in over_shards(ask, shards, workers=config.workers):
        for name in ("rows", "judged_anew", "kept_now", "kept_then"):
            setattr(found, name, getattr(found, name) + answer[name])
        found.lost += answer["lost"]  # type: ignore[operator]
        found.gained += answer["gained"]  # type: ignore[operator]
        for name, some in places.items():
            some += answer["places"][name][: EXAMPLES - len(some)]
    for name, rules in (("lost", found.then), ("gained", found.now)):
        shown = [_example(config, place, rules, known) for place in places[name]]
        found.examples = {**(found.examples or {}), name: shown}
    return found


def _example(config: PipelineConfig, place: Place, rules: Mapping[str, str], known: Sequence[str]) -> dict[str, Any]:
    """Return a pair with the values that the first rule looks at that it fails."""
    first = place.failed[0]
    used = (_asks_for(first, rules[first], known) if first in rules else None) or set()
    return pairs_at(config.run, [place], used)[0]


def known_columns(shard: Shard) -> list[str]:
    """Return the columns that rules may use of a shard that is scored. Raises UserError where it is not."""
    path = shard.path(PAIRS)
    if not path.exists():
        raise UserError(f'{path} is not there; run "{typed(path, "download")}" first')
    return [*column_names(path), *scores.names(shard)[1:], *OF_DEDUP]


def _ask(
    step: Select, now: Mapping[str, str], then: Mapping[str, str], known: Sequence[str], shard: Shard
) -> dict[str, Any]:
    """Return counts and places of one shard. known: columns."""
    new = {name: rule for name, rule in then.items() if now.get(name) != rule}
    lists = step.select.lists
    stays = [*lists, *(name for name in then if name not in new)]
    is_fresh = shard.path(KEEP).exists() and step.state(shard) == "done"
    if is_fresh:
        names = keep_list.failed_of(shard)
        table = _columns(shard, columns_of([new], known))
    else:
        table = candidates_of(shard, {"key", *columns_of([now, new], known), *columns_of_lists(step.select)})
        names = failed({**unlisted(table, lists), **holds(table, now)}, len(table))
    count = len(names)
    fails_then = fails_any(names, stays) if stays else np.zeros(count, bool)
    held = {name: values.to_numpy() for name, values in holds(table, new).items()} if new else {}
    kept_now = pc.equal(pc.list_value_length(names), 0).to_numpy(zero_copy_only=False)
    kept_then = np.logical_and.reduce([~fails_then, *held.values()])
    lost, gained = np.flatnonzero(kept_now & ~kept_then), np.flatnonzero(~kept_now & kept_then)
    blame = {int(row): next(name for name in held if not held[name][row]) for row in lost[:EXAMPLES]}
    return {
        "rows": count,
        "judged_anew": 0 if is_fresh else count,
        "kept_now": int(kept_now.sum()),
        "kept_then": int(kept_then.sum()),
        "lost": _first_of(held, lost),
        "gained": Counter(pc.list_element(names.take(pa.array(gained)), 0).to_pylist()),
        "places": {
            "lost": [Place(shard.number, row, (name,)) for row, name in blame.items()],
            "gained": [Place(shard.number, int(row), tuple(names[int(row)].as_py())) for row in gained[:EXAMPLES]],
        },
    }


def _columns(shard: Shard, used: set[str]) -> pa.Table:
    """Return columns of a shard whose files are known to be of the same pairs; of the scores alone where they do."""
    if used and used <= {*scores.names(shard)}:
        return read_table(shard.path(SCORES), sorted(used), made_by="score")
    return candidates_of(shard, {"key", *used})


def fails_any(names: pa.ListArray, rules: Sequence[str]) -> np.ndarray:
    """Return (n,) bool: which rows failed any of these rules."""
    among = pc.is_in(pc.list_flatten(names), value_set=pa.array(rules, pa.string())).to_numpy(zero_copy_only=False)
    rows = pc.list_parent_indices(names).to_numpy(zero_copy_only=False)
    return np.bincount(rows[among], minlength=len(names)) > 0


def _first_of(held: Mapping[str, np.ndarray], rows: np.ndarray) -> Counter[str]:
    """Count rows by the first rule that does not hold."""
    counts, left = Counter[str](), rows
    for name, holds_here in held.items():
        fits = holds_here[left]
        if not fits.all():
            counts[name] = int((~fits).sum())
        left = left[fits]
    return counts
