"""Examples of pairs for the page: what is known of each, its stored picture, and how a card shows it."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from configs import UserError
from filters.expression import check_expression
from pipeline.dedup import DUPLICATES
from pipeline.files import read_table
from pipeline.pictures import decode, read_member
from pipeline.select import candidates
from pipeline.shard import PAIRS, SCORES, TAR, Shard

from .html import Html, data_url, element, shorten
from .page_veil import Veil, veiled

THUMB_PX = 160  # longest side of an example's picture
CAPTION_CHARS, URL_CHARS, DETAIL_CHARS = 300, 160, 300
VEILED = "Hidden: hateful words or a picture not for everyone. Show"


@dataclass(frozen=True)
class Examples:
    """The pairs that stand on the page for what was lost and kept."""

    run: Path
    rules: Mapping[str, str]
    veil: Veil
    hateful: set[str] = field(default_factory=set)  # captions among those shown
    _tables: dict[int, pa.Table] = field(default_factory=dict)  # columns of the shards that were looked into

    def cards(self, examples: Sequence[Mapping[str, Any]], *, reason: str) -> Html:
        """A grid of cards. reason: why they were lost; of a rule of the policy the numbers are told."""
        return element("div", [self._card(dict(pair), reason) for pair in examples], class_="cards")

    def _card(self, pair: dict[str, Any], reason: str) -> Html:
        known = self._known(pair)
        detail = pair.get("detail") or ""
        if reason in self.rules and "failed" in pair:
            detail = self._numbers(known, reason)
        others = [name for name in pair.get("failed") or pair.get("reasons") or () if name != reason]
        said = {
            "caption": shorten(pair["caption"], CAPTION_CHARS),
            "url": shorten(pair.get("url") or known.get("url") or "", URL_CHARS),
            "detail": shorten(detail, DETAIL_CHARS),
            "others": f"also failed: {', '.join(others)}" if others else "",
        }
        picture = _picture(self.run, pair["shard"], known) if known.get("tar_offset") is not None else None
        return card(pair["key"], said, picture, hidden=self.veil.covers({**known, **pair}, self.hateful))

    def _known(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        """Every column of the pair, its scores where it has some; nothing where the plan dropped it."""
        if pair.get("shard") is None:
            return {}
        number = pair["shard"]
        table = self._tables[number] = self._tables.get(number) or _columns(self.run, number)
        found = table.filter(pc.equal(table["key"], pair["key"])).to_pylist()
        return found[0] if found else {}

    def _numbers(self, known: Mapping[str, Any], rule: str) -> str:
        """The values that the rule looked at, and of which pair this one is a copy."""
        try:
            used = check_expression(rule, self.rules[rule], known)
        except UserError:  # the policy was changed since, and its columns are not there yet
            return ""
        said = [f"{name} = {_short(known[name])}" for name in used]
        kinds = [name.removesuffix("_copy") for name in used if name.endswith("_copy") and known[name]]
        keepers = _keepers(self.run, known["key"], kinds) if kinds else []
        return ", ".join([*said, *(f"copy of {keeper}" for keeper in keepers)])


def _columns(run: Path, number: int) -> pa.Table:
    """Columns of all pairs of a shard; of stored ones with their scores, of the others without."""
    shard = Shard(run, number)
    pairs = read_table(shard.path(PAIRS), made_by="download")
    if not shard.path(SCORES).exists() or not (run / DUPLICATES).exists():
        return pairs
    lost = pairs.filter(pc.not_equal(pairs["status"], "ok"))
    return pa.concat_tables([candidates(run, shard), lost], promote_options="default")


def _keepers(run: Path, key: str, kinds: Iterable[str]) -> list[str]:
    filters = [("key", "=", key), ("kind", "in", list(kinds))]
    return sorted(set(pq.read_table(run / DUPLICATES, filters=filters)["keeper"].to_pylist()))


def _picture(run: Path, number: int, known: Mapping[str, Any]) -> str:
    """The stored picture, small, as a data: url."""
    with Shard(run, number).path(TAR).open("rb") as file:
        pixels = decode(read_member(file, known["tar_offset"], known["tar_size"]), at_least_px=THUMB_PX)
    return thumb(Image.fromarray(pixels))


def thumb(image: Image.Image, *, side_px: int = THUMB_PX, quality: int = 70) -> str:
    """A small WebP as a data: url."""
    image.thumbnail((side_px, side_px))
    held = io.BytesIO()
    image.save(held, "WEBP", quality=quality, method=4)
    return data_url(held.getvalue(), kind="webp")


def card(key: str, said: Mapping[str, str], picture: str | None, *, hidden: bool) -> Html:
    """One pair: its picture beside what is said of it; hidden, only its key can be seen.

    said: class of a paragraph -> its text.
    """
    said = {name: text for name, text in said.items() if text}
    told = element("p", element("code", f"corgi why {key}"), class_="key")
    if hidden:
        packed = {**said, **({"picture": picture, "alt": f"stored picture: {said['caption']}"} if picture else {})}
        return element("article", veiled(packed, label=VEILED), told, class_="card")
    alt = f"stored picture: {said.get('caption', '')}"
    shown = element("img", src=picture, alt=alt, loading="lazy") if picture else None
    words = [element("p", text, class_=name, dir="auto") for name, text in said.items()]
    return element("article", shown, element("div", words, told), class_="card")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value.hex() if isinstance(value, bytes) else str(value)
