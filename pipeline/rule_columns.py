"""What rules may ask of a pair, what is the same of all pairs, and what a config leaves out."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from configs import UserError
from filters.rules import columns_of
from filters.scorers import HEADS, RATES_US, ScorersConfig, columns_of_ours
from storage import frequent

from .adopt.step import schema_of as adopted_schema_of
from .columns import judged
from .config import PipelineConfig
from .plan import schema_of

# Columns of the download that are NULL of every stored image, so that no rule on them holds.
NOT_OF_IMG2DATASET = ("content_type", "final_url", "fetched_bytes", "format")
NOT_OF_ADOPTED = ("http_status", "content_type", "final_url", "fetched_bytes")
# Columns of published tables that policies ask for, and whose they are.
PUBLISHED = {
    "similarity": "LAION's tables bring it (CLIP ViT-B/32 of picture and caption)",
    "clip_l14_similarity_score": "DataComp's tables bring it (CLIP ViT-L/14 of picture and caption)",
    "punsafe": "LAION's safety tables bring it (a head on CLIP ViT-L/14, which score.unsafe can run as unsafe_score)",
}
OF_CLIP = " with CLIP ViT-B/32 on CPUs; ViT-L/14 takes 11 times as long"
BESIDE = {"clip": OF_CLIP, **dict.fromkeys(HEADS, "; score.clip, whose embeddings it judges, costs its own")}
OR_CLIP = "; or name a model in score.clip.model and ask for clip_similarity"


def planned_schema(config: PipelineConfig) -> pa.Schema:
    """Return the columns that pairs have before any step judges them, from the heads of their sources."""
    return schema_of(config.table, config.plan) if config.way == "table" else adopted_schema_of(config.adopt)


def constant_columns(config: PipelineConfig) -> dict[str, str]:
    """Return the columns that say the same of every pair, by what else the config says, each with its reason."""
    same = {}
    if config.dedup.max_caption_count is None:
        same["caption_copy"] = "is never true without dedup.max_caption_count"
    if config.dedup.frequent is None:
        same |= dict.fromkeys(frequent.COLUMNS, "is 1 of every pair without dedup.frequent")
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


def cost_of(scorer: str, pairs: int | None) -> str:
    """Return what a scorer costs for so many pairs, or for a million where it is not known how many there are."""
    if scorer not in RATES_US:
        return "an amount that was not measured yet"
    hours = RATES_US[scorer] * (pairs or 1_000_000) / 3.6e9
    of = f"the {pairs:,} pairs here" if pairs else "a million pairs"
    amount = f"about {hours:,.2g}" if hours >= 0.01 else "less than 0.01"
    return f"{amount} core-hours for {of}{BESIDE.get(scorer, '')}"


def _policies(config: PipelineConfig) -> list[Mapping[str, str]]:
    return [config.select.rules, {"held_out": config.select.held_out}, *config.select.stages.values()]


def columns_left_out(columns: Sequence[str], scorers: ScorersConfig) -> dict[str, str]:
    """Return the columns that are not there since the config leaves out their scorer, each with its scorer."""
    return {
        column: name
        for name, made in columns_of_ours().items()
        if dict(scorers)[name] is None
        for column in made
        if column not in columns
    }


def check_scorers(
    rules: Mapping[str, str], columns: Sequence[str], scorers: ScorersConfig, *, pairs: int | None = None
) -> None:
    """Raise UserError where a rule asks for a column that the config leaves out, or that only some tables bring.

    columns: names of those that are there. pairs: how many there are, to tell what a scorer would cost.
    """
    left_out = columns_left_out(columns, scorers)
    known = [*columns, *left_out, *({*PUBLISHED} - {name.lower() for name in columns})]
    for rule, expression in rules.items():
        for column in sorted(columns_of([{rule: expression}], known)):
            if column in left_out:
                scorer = left_out[column]
                raise UserError(
                    f"rule {rule!r} uses the column {column!r}, which score.{scorer} makes, and it is null; "
                    f"switched on it costs {cost_of(scorer, pairs)}"
                )
            if column not in columns:
                is_of_clip = "similarity" in column
                raise UserError(
                    f"rule {rule!r} uses the column {column!r}, which no scorer here makes: {PUBLISHED[column]}; "
                    f"take it in by plan.join, or leave the rule out: `{rule}: null` in select.rules"
                    + OR_CLIP
                    * is_of_clip
                )
