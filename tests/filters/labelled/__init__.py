"""Captions labelled by hand, written for these tests: 699 in 8 languages, no two made from one template.

tuning.tsv is what thresholds and words may be chosen by. frozen.tsv was set aside at first; by now it was looked at, as
was later.tsv, 118 more by another hand. Which half a caption is in, the first hex digit of its sha256 tells (even:
tuning). third.tsv has 159 by yet another hand, committed before any scorer saw them; nothing was changed after. Lines:

    language, labels, caption    labels: h hate or insult, s sexual, i names a group of people, b none of these

Captions with h or s are base64: they are ugly, and nobody should come upon them by a search or a scroll. Most are mild.
h is what attacks somebody: mere mention of a group, a swear word in a title, a name or an organ is none.
"""

import base64
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

Half = Literal["tuning", "frozen", "later", "third"]


class Labelled(NamedTuple):
    """One caption and what it is."""

    language: str
    labels: str
    caption: str

    @property
    def is_hate(self) -> bool:
        return "h" in self.labels

    @property
    def is_sexual(self) -> bool:
        return "s" in self.labels

    @property
    def names_group(self) -> bool:
        return "i" in self.labels

    @property
    def digest(self) -> str:
        """What reports print in its place."""
        return sha256(self.caption.encode()).hexdigest()[:8]


def read(half: Half) -> list[Labelled]:
    """Return the captions of a half, in the order of their digests."""
    lines = (Path(__file__).parent / f"{half}.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [Labelled(language, labels, _shown(labels, text)) for language, labels, text in rows]


def _shown(labels: str, text: str) -> str:
    return base64.b64decode(text).decode() if {*labels} & {*"hs"} else text
