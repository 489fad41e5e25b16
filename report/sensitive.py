"""What the page hides until it is asked for: hateful and sexual captions, NSFW images, and all else of those pairs.

A sensitive pair stands in the page as base64, so that neither its words nor its image are in what is displayed, read
aloud, searched, copied or looked at as text. A click unpacks it; without scripts it stays hidden.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from configs import UserError
from filters.base import Batch
from filters.expression import check_expression
from filters.hate import Hate, HateConfig
from filters.rules import failed_rules
from filters.sexual import Sexual, SexualConfig

from .render import clean

SENSITIVE = re.compile(r"\b(hate|hateful|offensive|sexual|nsfw|nsfw_score)\b", re.IGNORECASE)  # columns of a pair
# Scores of a caption, and what hides it where no rule of the policy asks for that score.
TEXT_LIMITS = {
    "hate": "hate < 0.12",
    "offensive": "offensive < 0.40",
    "hateful": "hateful < 0.5",
    "sexual": "sexual < 0.5",
}
LIMITS = {"nsfw_score": 0.5, "hateful": 0.5, "sexual": 0.5}  # from which a pair is hidden, whatever the policy says
DECLARED = ("nsfw", "likely", "true")  # what the url table itself may say in its column `nsfw`


class SensitivePairs:
    """Which pairs are hidden, by the rules of the policy (name -> SQL) and by limits of its own."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.rules = {name for name, rule in rules.items() if SENSITIVE.search(rule)}
        asked = {name: scores for name, rule in rules.items() if (scores := _scores_of_text(name, rule))}
        judged = {score for scores in asked.values() for score in scores}
        limits = {score: limit for score, limit in TEXT_LIMITS.items() if score not in judged}
        self.text_rules = {
            **{name: rules[name] for name in asked},
            **{f"limit_{n}": rule for n, rule in limits.items()},
        }

    @cached_property
    def _scorers(self) -> tuple[Hate, Sexual]:
        return Hate(HateConfig()), Sexual(SexualConfig())

    def hateful(self, captions: Iterable[str]) -> set[str]:
        """Return those among `captions` that fail: many pairs are lost before any scorer has seen them."""
        unique = list(dict.fromkeys(captions))
        if not unique:
            return set()
        scores = {name: values for scorer in self._scorers for name, values in scorer(Batch(captions=unique)).items()}
        table = pa.table({name: pa.array(scores[name], pa.float32()) for name in TEXT_LIMITS})
        failed = failed_rules(table, self.text_rules)
        return {caption for caption, reasons in zip(unique, failed, strict=True) if reasons}

    def covers(self, pair: Mapping[str, Any], hateful: set[str]) -> bool:
        """Tell whether a pair is hidden.

        pair: what is known of it (caption, failed, nsfw, scores); hateful: what `hateful` returned.
        """
        failed = self.rules & {*(pair.get("failed") or ()), *(pair.get("reasons") or ())}
        declared = str(pair.get("nsfw") or "").lower() in DECLARED
        scored = any((pair.get(name) or 0) >= limit for name, limit in LIMITS.items())
        return bool(failed) or declared or scored or pair["caption"] in hateful


def pack(content: Mapping[str, str]) -> str:
    """Return base64 of what a click shows. content: class of a paragraph -> its text; `image`, a data: url; `alt`."""
    return base64.b64encode(json.dumps({name: clean(text) for name, text in content.items()}).encode()).decode()


def _scores_of_text(name: str, rule: str) -> tuple[str, ...]:
    """Return the scores that a rule asks for; none where it asks for more than the scores of a caption."""
    try:
        return check_expression(name, rule, TEXT_LIMITS)
    except UserError:
        return ()
