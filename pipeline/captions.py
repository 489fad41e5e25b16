"""A caption as rules, scorers, dedup, embed and training see it; the table's own text stays beside it.

    "Tom &amp;amp; Jerry\\n"   ->   caption "Tom & Jerry", caption_raw "Tom &amp;amp; Jerry\\n"

Character references of html are resolved, also where the web escaped them twice; letters are composed (unicode NFC);
a control character becomes a space, or nothing where it has no width; and no space is left at either end. A pair's id
is the hash of its raw caption, so that no key depends on any of this. Further captions (`plan.captions`) are normalised
in their place, and nothing keeps their raw text. Whoever changes an answer raises the VERSION of plan and of adopt.
"""

import html
import re
import unicodedata
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

RAW = "caption_raw"
ROUNDS = 3  # of resolving: what is escaped more often stays as it is

# What may need anything, by Arrow: of most captions nothing more than this is asked.
MAY_CHANGE = r"[^\x20-\x7e]|&|^ | $"
REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")  # never without semicolon
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Zero width space, marks of direction, the byte order mark, code points that are none, and hidden text in tags, which
# only flags of emoji need. U+200C and U+200D stay: Persian and Hindi are spelt with them, and families of emoji.
WITHOUT_WIDTH = re.compile(
    "[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]+"
    "|(?<![\U0001f3f4\U000e0001-\U000e007f])[\U000e0001-\U000e007f]+"
)


def normalised(caption: str) -> str:
    """Return the caption that a reader of the page would have seen."""
    for _ in range(ROUNDS):
        before, caption = caption, REFERENCE.sub(_resolved, WITHOUT_WIDTH.sub("", caption))
        if caption == before:
            break
    return unicodedata.normalize("NFC", CONTROL.sub(" ", WITHOUT_WIDTH.sub("", caption))).strip()


def with_normalised(rows: pa.Table, further: Sequence[str] = ()) -> pa.Table:
    """Return rows with `caption` as it is seen from here on, and `caption_raw` after it. caption: text, no NULL.

    further: columns of text that are captions, too; NULL where nothing is left of one.
    """
    for name in further:
        texts = seen(rows[name])
        texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)
        rows = rows.set_column(rows.column_names.index(name), name, texts)
    place, raw = rows.column_names.index("caption"), rows["caption"]
    return rows.set_column(place, "caption", seen(raw)).add_column(place + 1, RAW, raw)


def with_own(further: Sequence[str | None], own: Sequence[str]) -> list[str]:
    """Return the further captions of some pairs, normalised wherever they come from; the own where nothing is left."""
    return [(text and normalised(text)) or first for text, first in zip(further, own, strict=True)]


def seen(captions: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return captions, normalised; NULL stays NULL."""
    changing = pc.fill_null(pc.match_substring_regex(captions, MAY_CHANGE), False)
    if not pc.any(changing).as_py():
        return captions
    texts = [normalised(text) for text in captions.filter(changing).to_pylist()]
    return pc.replace_with_mask(captions.combine_chunks(), changing.combine_chunks(), pa.array(texts, captions.type))


def _resolved(reference: re.Match[str]) -> str:
    """Return the character, or the reference itself where there is none of that name."""
    return html.unescape(reference[0])
