"""What rules may ask of a pair, what is the same of all pairs, and what a config leaves out."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from configs import UserError
from filters.rules import columns_of
from filters.scorers import ScorersConfig, columns_by_scorer

from .adopt.step import schema_of as adopted_schema_of
from .columns import judged
from .config import PipelineConfig
from .plan import schema_of

# Columns of the download that are NULL of every stored image, so that no rule on them holds.
NOT_OF_IMG2DATASET = ("content_type", "final_url", "fetched_bytes", "format")
NOT_OF_ADOPTED = ("http_status", "content_type", "final_url", "fetched_bytes")


def planned_schema(config: PipelineConfig) -> pa.Schema:
    """Return the columns that pairs have before any step judges them, from the heads of their sources."""
    return schema_of(config.table, config.plan) if config.way == "table" else adopted_schema_of(config.adopt)


def constant_columns(config: PipelineConfig) -> dict[str, str]:
    """Return the columns that say the same of every pair, by what else the config says, each with its reason."""
    same = {}
    if config.dedup.max_caption_count is None:
        same["caption_copy"] = "is never true without dedup.max_caption_count"
    if dict(config.score)["pdq"] is None:
        same["near_copy"] = "is never true while score.pdq is null"
    if config.way == "shards":
        same |= dict.fromkeys(NOT_OF_ADOPTED, "is NULL of images that are adopted, and NULL is never fit")
    elif config.download.engine == "img2dataset":
        same |= dict.fromkeys(NOT_OF_IMG2DATASET, "is NULL with download.engine: img2dataset, and NULL is never fit")
    return same


def idle_rules(config: PipelineConfig) -> Iterator[str]:
    """Yield a line for each rule that asks for a column which says the same of every pair. The rules are checked."""
    same, columns = constant_columns(config), judged(planned_schema(config), config.score).names
    for rules in _policies(config):
        for name, rule in rules.items():
            for column in sorted(columns_of([{name: rule}], columns) & {*same}):
                yield f"the rule {name!r} decides nothing by {column}: it {same[column]}"


def _policies(config: PipelineConfig) -> list[Mapping[str, str]]:
    return [config.select.rules, {"held_out": config.select.held_out}, *config.select.stages.values()]


def check_scorers(rules: Mapping[str, str], columns: pa.Schema, scorers: ScorersConfig) -> None:
    """Raise UserError where a rule asks for the column of a scorer that the config leaves out."""
    left_out = {
        column: name
        for name, made in columns_by_scorer(ScorersConfig()).items()
        if dict(scorers)[name] is None
        for column in made
        if column not in columns.names
    }
    for rule, expression in rules.items():
        for column in columns_of([{rule: expression}], [*columns.names, *left_out]):
            if column in left_out:
                scorer = left_out[column]
                raise UserError(f"rule {rule!r} uses the column {column!r}, which score.{scorer} makes, and it is null")
