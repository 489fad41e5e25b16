"""The funnel on the page: pairs left after each step, every reason with cards of pairs it took, a gallery of kept ones.

Sensitive pairs are packed away on a card, and left out of the gallery.
"""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError, shortened
from configs.redacted import redacted
from filters.expression import check_expression
from pipeline.config import PipelineConfig
from pipeline.select import candidates_of
from pipeline.why import short
from storage import keep_list, pairs
from storage.duplicates import DUPLICATES, copies_of
from storage.plan import shards_of
from storage.shard import KEEP, SCORES, TAR, Shard
from storage.tar import TarReader

from .album import Album
from .sensitive import SensitivePairs, pack

CARD_PX, GALLERY_PX = 120, 80  # longest side of an image
GALLERY, GALLERY_SHARDS = 36, 4  # images, and the shards they are from
HTTP_PHRASES = {f"http_{status}": status.phrase.lower() for status in HTTPStatus}


class Card(NamedTuple):
    """A lost pair. Of a sensitive one the page shows the key, and on a click what is packed."""

    key: str
    words: dict[str, str]  # class of a paragraph -> its text
    image: str | None  # a data: url
    packed: str | None


class Reason(NamedTuple):
    """Why pairs were lost."""

    name: str
    lost: int
    rule: str | None  # SQL, where it is one of the policy
    http: str | None  # the status in words, where it is one
    cards: list[Card]  # examples


def levels_of(funnel: Mapping[str, Any]) -> dict[str, int]:
    """Return how many pairs there are at first and after each step. funnel: what pipeline.funnel counts."""
    names = ("rows", "kept", "train", "held_out", "unfetched", "unjudged")
    totals = {name: funnel["totals"].get(name, 0) for name in names}
    planned = totals["rows"] - sum(funnel["counts"]["plan"].values())
    stored = planned - sum(funnel["counts"]["download"].values()) - totals["unfetched"]
    return {**totals, "planned": planned, "stored": stored}


class LostPairs:
    """What pipeline.funnel counts as lost, with cards of its examples."""

    def __init__(
        self, config: PipelineConfig, funnel: Mapping[str, Any], sensitive: SensitivePairs, album: Album
    ) -> None:
        self.run, self.rules, self.sensitive = config.run, config.select.rules, sensitive
        self.album = album
        self.counts, self.examples = funnel["counts"], funnel["examples"]
        self.hateful = sensitive.hateful(pair["caption"] for pairs in self.examples.values() for pair in pairs)
        self._columns = cache(_columns)

    def reasons(self) -> dict[str, list[Reason]]:
        """Return the reasons of each step, in the order of the funnel."""
        reasons: dict[str, list[Reason]] = {}
        for step, counts in self.counts.items():
            rules = self.rules if step == "select" else {}
            for name, lost in counts.items():
                cards = [self.card(pair, reason=name) for pair in self.examples.get(f"{step}.{name}", ())]
                reason = Reason(name, lost, rules.get(name), HTTP_PHRASES.get(name), cards)
                reasons.setdefault(step, []).append(reason)
        return reasons

    def card(self, pair: Mapping[str, Any], *, reason: str) -> Card:
        """Return the card of a lost pair. reason: why; a rule of the policy is told with the numbers it looked at."""
        known = self._known(pair)
        by_rule = reason in self.rules and "failed" in pair
        others = [name for name in pair.get("failed") or pair.get("reasons") or () if name != reason]
        texts = {
            "caption": shortened(pair["caption"], 300),
            "url": shortened(redacted(known.get("url") or pair.get("url") or ""), 160),
            "detail": shortened(self._numbers(known, reason) if by_rule else pair.get("detail") or "", 300),
            "others": f"also failed: {', '.join(others)}" if others else "",
        }
        words = {name: text for name, text in texts.items() if text}
        has_image = known.get("tar_offset") is not None and not self.album.is_full("cards")
        image = None
        if has_image:
            image = self.album.thumbnail(image_of(Shard(self.run, pair["shard"]), known), CARD_PX, part="cards")
        if not self.sensitive.covers({**known, **pair}, self.hateful):
            return Card(pair["key"], words, image, None)
        picture = {"image": image, "alt": f"stored image: {texts['caption']}"} if image else {}
        return Card(pair["key"], {}, None, pack({**words, **picture}))

    def _known(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        """Return every column of the pair, its scores where it has some; nothing where the plan dropped it."""
        if pair.get("shard") is None:
            return {}
        table = self._columns(Shard(self.run, pair["shard"]))
        rows = table.filter(pc.equal(table["key"], pair["key"])).to_pylist()
        return rows[0] if rows else {}

    def _numbers(self, known: Mapping[str, Any], rule: str) -> str:
        """Return the values that the rule looked at, and of which pairs this one is a copy."""
        try:
            used = check_expression(rule, self.rules[rule], known)
        except UserError:  # the policy was changed since, and its columns are not there yet
            return ""
        values = [f"{name} = {short(known[name])}" for name in used]
        kinds = [name.removesuffix("_copy") for name in used if name.endswith("_copy") and known[name]]
        copies = copies_of(self.run, known["key"]) if kinds else []
        keepers = sorted({copy["keeper"] for copy in copies if copy["kind"] in kinds})
        return ", ".join([*values, *(f"copy of {keeper}" for keeper in keepers)])


def gallery(run: Path, sensitive: SensitivePairs, album: Album) -> tuple[list[tuple[str, str]], list[str]]:
    """Return (data: url, caption) of the first kept pairs of the first shards, and the licences the table names."""
    images, licences = list[tuple[str, str]](), set[str]()
    for shard in [shard for shard in shards_of(run) if shard.path(KEEP).exists()][:GALLERY_SHARDS]:
        stored = stored_columns(shard)
        kept = stored.filter(keep_list.read(shard, ["kept"], of=stored)["kept"])
        if "license" in kept.column_names:
            licences |= {str(value) for value in pc.unique(kept["license"]).to_pylist() if value}
        rows = kept.slice(0, GALLERY // GALLERY_SHARDS).to_pylist()
        hateful = sensitive.hateful(row["caption"] for row in rows)
        fit = [row for row in rows if not sensitive.covers(row, hateful)]
        for row in fit:
            if not album.is_full("kept"):
                images.append((album.thumbnail(image_of(shard, row), GALLERY_PX, part="kept"), row["caption"]))
    return images, sorted(licences)


def stored_columns(shard: Shard) -> pa.Table:
    """Return every column of a shard's stored pairs; without scores where those were removed."""
    scored = shard.path(SCORES).exists() and (shard.run / DUPLICATES).exists()
    return candidates_of(shard) if scored else pairs.stored(shard)


def _columns(shard: Shard) -> pa.Table:
    """Return what is known of all pairs of a shard, stored or lost."""
    return pa.concat_tables([stored_columns(shard), pairs.lost(shard)], promote_options="default")


def image_of(shard: Shard, row: Mapping[str, Any]) -> np.ndarray:
    """Return the stored image of a pair, (height, width, 3) uint8. row: its tar_offset and tar_size."""
    with TarReader(shard.path(TAR)) as tar:
        return tar.image(row["tar_offset"], size=row["tar_size"])
