"""What the page hides until it is asked for: hateful captions, NSFW images, and all else of those pairs.

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

SENSITIVE = re.compile(r"\b(hate|hateful\w*|offensive|sexual|nsfw|nsfw_score|punsafe|unsafe_score)\b", re.IGNORECASE)
TEXT_SCORES = ("hate", "offensive", "hateful", "hateful_unsure", "sexual")
TEXT_LIMITS = {"page_hate": "hateful < 0.5 and not hateful_unsure", "page_sexual": "sexual < 0.5"}  # of any policy
IMAGE_LIMIT = 0.5  # nsfw_score from which an image is hidden, whatever the policy says
DECLARED = ("nsfw", "likely", "true")  # what the url table itself may say in its column `nsfw`


class SensitivePairs:
    """Which pairs are hidden, by the rules of the policy (name -> SQL) and by limits of its own."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.rules = {name for name, rule in rules.items() if SENSITIVE.search(rule)}
        self.text_rules = TEXT_LIMITS | {name: rules[name] for name in self.rules if _is_of_text(name, rules[name])}

    @cached_property
    def _scorers(self) -> tuple[Hate, Sexual]:
        return Hate(HateConfig()), Sexual(SexualConfig())

    def hateful(self, captions: Iterable[str]) -> set[str]:
        """Return those among `captions` that fail: many pairs are lost before any scorer has seen them."""
        unique = list(dict.fromkeys(captions))
        if not unique:
            return set()
        hate, sexual = (scorer(Batch(captions=unique)) for scorer in self._scorers)
        table = pa.table({name: (hate | sexual)[name] for name in TEXT_SCORES})
        failed = failed_rules(table, self.text_rules)
        return {caption for caption, reasons in zip(unique, failed, strict=True) if reasons}

    def covers(self, pair: Mapping[str, Any], hateful: set[str]) -> bool:
        """Tell whether a pair is hidden.

        pair: what is known of it (caption, failed, nsfw, nsfw_score); hateful: what `hateful` returned.
        """
        failed = self.rules & {*(pair.get("failed") or ()), *(pair.get("reasons") or ())}
        declared = str(pair.get("nsfw") or "").lower() in DECLARED
        return bool(failed) or declared or (pair.get("nsfw_score") or 0) >= IMAGE_LIMIT or pair["caption"] in hateful


def pack(content: Mapping[str, str]) -> str:
    """Return base64 of what a click shows. content: class of a paragraph -> its text; `image`, a data: url; `alt`."""
    return base64.b64encode(json.dumps({name: clean(text) for name, text in content.items()}).encode()).decode()


def _is_of_text(name: str, rule: str) -> bool:
    """Tell whether the rule can be decided from the scores of a caption alone."""
    try:
        return bool(check_expression(name, rule, TEXT_SCORES))
    except UserError:
        return False
