"""select: which pairs are kept, and every rule that the others failed.

Rules are SQL over all columns of a pair: the url table's, the download's, the scores, and whether it is a copy
(exact_copy, near_copy, caption_copy). No image is read and no tar is rewritten; a changed threshold takes seconds.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from configs import Config, fingerprints
from configs.steps import STEPS
from filters.expression import NAME
from filters.rules import columns_of, failed, holds_each
from filters.rules import fingerprint as in_order
from storage import duplicates, frequent, keep_list, pairs, scores
from storage.scores import with_scores
from storage.shard import PAIRS, Shard
from storage.tables import column_names, content

from .columns import OF_DEDUP, without_empty_types
from .frequencies import needed, with_counts
from .lists import NEEDED, ListConfig, unlisted
from .policies import combined, read_policy
from .step import LossyStep

VERSION = 3  # since 2 NaN is not fit, since 3 a column without any value is of no type


class SelectConfig(Config):
    """Which pairs are kept: what must hold of them, in the order in which losses are counted.

    A rule is a name and an SQL expression over every column of the pair.
    """

    # Rules that others published: the name of a policy in configs/policies, or the path of a YAML file of rules. The
    # run's own config holds its rules, and not the name.
    policy: str | None = Field(default=None, examples=["laion400m"])
    # Each by a name of your own; beside a policy they add to its rules or replace them, and null switches one off.
    rules: dict[str, str] = {}
    # Lists of what is never kept, each by a name of your own, as a rule has one: sha256, md5, pdq, url, host or text.
    lists: dict[str, ListConfig] = Field(default={}, examples=[{"partner": {"pdq": ["threat_exchange.csv"]}}])
    held_out: str = "false"  # SQL: kept pairs for which this holds are for validation and never trained on
    stages: dict[str, dict[str, str]] = {}  # further rules of single stages: a column of the keep-list each
    tolerate_lost: float = Field(default=0.99, ge=0, le=1)  # share dropped by one rule, then it ends with 3; 1: any

    @model_validator(mode="before")
    @classmethod
    def _with_policy(cls, values: Any) -> Any:
        """Put the policy's rules in its place. The path of one may stand in the place of `rules`, too."""
        if not isinstance(values, dict):
            return values
        policy, own = values.get("policy"), values.get("rules") or {}
        if isinstance(own, str):
            if policy is not None:
                raise ValueError(f"policy and rules both name a policy, {policy!r} and {own!r}; give one of them")
            policy, own = own, {}
        if not isinstance(own, dict) or not isinstance(policy, str | None):
            return values
        rules = combined(read_policy(policy) if policy else {}, own)
        return {**values, "policy": None, "rules": rules}

    @model_validator(mode="after")
    def _names_of_lists(self) -> Self:
        for name in self.lists:
            if not NAME.fullmatch(name) or name in self.rules:
                why = "a rule has it" if name in self.rules else "take small letters, digits and underscores"
                raise ValueError(f"{name!r} is no name for a list: {why}")
        return self


@dataclass(frozen=True)
class Select(LossyStep):
    """The shard step `select`."""

    entry = STEPS["select"]
    run: Path
    select: SelectConfig

    def fingerprint(self, shard: Shard) -> str:
        """Cover the rules, the shard's pairs and scores, and the duplicates of all shards."""
        copies = [duplicates.mark(self.run).content, *filter(None, [frequent.mark(self.run)])]
        inputs = [content(shard.name(suffix)) for suffix in self.entry.reads]
        return self._fingerprint_of(inputs, *copies)

    @cached_property
    def _fingerprint_of(self) -> Callable[..., str]:
        stages = [[stage, in_order(rules)] for stage, rules in self.select.stages.items()]
        rules: list[Any] = [in_order(self.select.rules), self.select.held_out, stages]
        if self.select.lists:
            rules.append([[name, given.content] for name, given in self.select.lists.items()])
        return fingerprints("select", VERSION, rules)

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write one row for each pair of the tar, in its order."""
        mark = self.fingerprint(shard)
        policies = [self.select.rules, {"held_out": self.select.held_out}, *self.select.stages.values()]
        used = columns_of(policies, [*_names(shard), *OF_DEDUP])
        candidates = candidates_of(shard, {"key", *keep_list.CARRIED, *used, *columns_of_lists(self.select)})
        rules, held_out, *stages = holds_each(candidates, policies)
        failed_names = failed({**unlisted(candidates, self.select.lists), **rules}, len(candidates))
        keep_list.write(
            shard,
            candidates,
            failed=failed_names,
            held_out=held_out["held_out"],
            stages={
                name: _all_of(held, len(candidates)) for name, held in zip(self.select.stages, stages, strict=True)
            },
            fingerprint=mark,
        )
        first = pc.list_element(failed_names.filter(pc.greater(pc.list_value_length(failed_names), 0)), 0)
        kept = len(candidates) - len(first)
        return Counter(
            {"kept": kept, **{count["values"]: count["counts"] for count in first.value_counts().to_pylist()}}
        )

    @property
    def tolerate_lost(self) -> float:
        """Return what the config says."""
        return self.select.tolerate_lost

    def fates(self, shard: Shard) -> pa.ChunkedArray:
        """Return the first rule that each pair failed."""
        return pa.chunked_array([keep_list.first_failed(keep_list.read(shard, ["failed"]))])

    def example(self, shard: Shard, row: int) -> str:
        """Return a pair's key, for `corgi why`, and its url."""
        pair = pairs.stored(shard, ["key", "url"]).slice(row, 1).to_pylist()[0]
        return f"{pair['key']} {pair['url']}".strip()

    def remedy(self, reason: str) -> str:
        """Return the rule."""
        if reason in self.select.lists:
            return f"these pairs are on a list; select.lists.{reason} names its files"
        return (
            f"pairs stay where {self.select.rules[reason]!r} holds, and NULL is no yes; select.rules.{reason} says it"
        )


def candidates_of(shard: Shard, columns: Collection[str] | None = None) -> pa.Table:
    """Return the pairs of a shard's tar with every column a rule may use. columns: those of these names.

    Of adopted shards one may lack a column that another has, or know no value of it: then it is NULL, of no type.
    """
    asked = frequent.COLUMNS if columns is None else columns
    names = None if columns is None else {*columns, *needed(asked)}
    wanted = None if names is None else [name for name in column_names(shard.path(PAIRS)) if name in names]
    copies = duplicates.with_copies(with_scores(pairs.stored(shard, wanted), shard, names), shard)
    table = with_counts(copies, shard.run, asked)
    return table if columns is None else _with_all(table, [name for name in _of_first(shard) if name in columns])


def _with_all(table: pa.Table, asked: Collection[str]) -> pa.Table:
    """Return the table with the columns asked for; those that hold no value are of no type, which goes with any."""
    for name in asked:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table)))
    return without_empty_types(table)


def _of_first(shard: Shard) -> list[str]:
    """Return the columns of the run's first shard, which rules were checked against; none where it is not there."""
    try:
        return column_names(Shard(shard.run, 0).path(PAIRS))
    except FileNotFoundError:
        return []


def columns_of_lists(select: SelectConfig) -> Collection[str]:
    """Return the columns that lists are compared with; none where there is no list."""
    return NEEDED if select.lists else ()


def _names(shard: Shard) -> list[str]:
    """Return the columns that a shard's files have for a pair, or may have."""
    return [*dict.fromkeys([*column_names(shard.path(PAIRS)), *scores.names(shard)[1:], *_of_first(shard)])]


def _all_of(held: Mapping[str, pa.ChunkedArray], count: int) -> pa.Array:
    """Return whether all rules of a stage hold: bool, one a row."""
    return pa.array(np.logical_and.reduce([values.to_numpy() for values in held.values()] or [np.ones(count, bool)]))
