"""Rules that keep most of what was looked at: a rule that would drop more than a tenth of it is written, but off.

A stranger's pictures may be drawings, her captions one word, in any language, and the same for many pictures.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from filters.base import Batch
from filters.caption import Caption, CaptionConfig
from filters.language import Language, LanguageConfig
from filters.rules import holds
from filters.size import Size, SizeConfig

from .look import Sight

MOST_LOST, LEAST_SIDE = 0.1, 64
LEAST_HELD_OUT_OF = 32  # pairs; of fewer none is held out
CAPTION_RULES = {
    "no_markup": ("not caption_markup and not caption_filename", "captions that are left over from web pages"),
    "enough_words": ("caption_words >= 2", "one word seldom says what is to be seen"),
    "english": ("english >= 0.5", "the text encoder reads English; how likely a caption is that"),
}
SIZE_RULES = {
    "large_enough": (f"min_side >= {LEAST_SIDE}", "px of the shorter side; smaller ones would be blurred"),
    "no_strip": ("aspect <= 4", "longer over shorter side; what is trained on is cut to a square"),
}
WEB_RULES = {
    "safe_picture": ("nsfw_score < 0.8", "OpenNSFW's opinion, 0 to 1"),
    "no_hate": ("hateful < 0.5", "captions that attack somebody, as far as lists and classifiers tell"),
    "not_sexual": ("sexual < 0.5", "captions of sexual pictures, likewise"),
}


class Rule(NamedTuple):
    """A rule as it is written down."""

    name: str
    sql: str
    why: str
    is_on: bool = True


def rules_of(sight: Sight) -> Iterator[Rule]:
    """Yield rules in the order in which losses are counted."""
    captions = _captions(sight)
    for name, (sql, why) in CAPTION_RULES.items():
        yield _measured(name, sql, why, captions, "captions")
    yield from _size_rules(sight)
    if is_of_the_web(sight):
        yield from (Rule(name, sql, why) for name, (sql, why) in WEB_RULES.items())
    yield Rule("exact_copy", "not exact_copy", "of equal pictures one stays")
    if is_of_the_web(sight):
        yield Rule("near_copy", "not near_copy", "of pictures that look alike one stays: the web is full of copies")
    else:
        yield Rule("near_copy", "not near_copy", "off: drawings of one kind look alike to the hash", is_on=False)


def reaches(sight: Sight, px: int) -> bool:
    """Tell whether the rules leave a stage of so many pixels nothing smaller, as far as was looked."""
    is_on = any(rule.is_on for rule in _size_rules(sight) if rule.name == "large_enough")
    return px <= LEAST_SIDE if is_on else all(min(size) >= px for size in sight.sizes)


def is_of_the_web(sight: Sight) -> bool:
    """Tell whether strangers' servers are asked, whose pictures nobody here has seen."""
    return sight.way == "table" and not sight.is_own_server


def held_out_of(sight: Sight) -> tuple[str, str]:
    """Return the SQL of pairs for validation, and why."""
    if sight.pairs < LEAST_HELD_OUT_OF:
        return "false", "none: every pair is needed for training"
    if sight.pairs < 20_000:
        return "starts_with(md5(key), '0')", "one pair of 16 is for validation and never trained on"
    return "starts_with(md5(key), '00')", "one pair of 256 is for validation and never trained on"


def languages_of(sight: Sight) -> dict[str, float]:
    """Return the share of each language among the captions, largest first; of short ones it is a guess."""
    found = _captions(sight)["language"].value_counts().to_pylist()
    shares = {each["values"]: each["counts"] / len(sight.captions) for each in found}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _size_rules(sight: Sight) -> Iterator[Rule]:
    sizes = _sizes(sight)
    for name, (sql, why) in SIZE_RULES.items():
        yield _measured(name, sql, why, sizes, "pictures") if len(sizes) else Rule(name, sql, why)


def _measured(name: str, sql: str, why: str, table: pa.Table, what: str) -> Rule:
    held = holds(table, {name: sql})[name].to_pylist()
    share = 1 - sum(held) / max(len(held), 1)
    if share <= MOST_LOST:
        return Rule(name, sql, why)
    return Rule(name, sql, f"off: it would drop {share:.0%} of the {what} looked at", is_on=False)


def _captions(sight: Sight) -> pa.Table:
    batch, columns = Batch(captions=sight.captions), dict[str, list[Any]]()
    for scorer in (Caption(CaptionConfig()), Language(LanguageConfig())):
        columns |= scorer(batch)
    return pa.table(columns)


def _sizes(sight: Sight) -> pa.Table:
    widths, heights = ([size[side] for size in sight.sizes] for side in (0, 1))
    columns = {"original_width": widths, "original_height": heights, "stored_width": widths, "stored_height": heights}
    return pa.table(Size(SizeConfig())(Batch(columns=columns)))
