"""Ten filters as data-juicer's operators and as Corgi's rules, and why the two may say otherwise of a pair.

Thresholds are such that each takes some of the captions. Where data-juicer counts something that Corgi has no column
for, the rule counts it: nothing is left out of either side.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

FLAGGED = ["sale", "free", "watercolor"]
# Captions on which the two may disagree: scripts without spaces, capitals, signs, names of files, spaces around.
WEB = [
    "IMG_20190412_081530.JPG",
    "LOT OF 3 VINTAGE POSTCARDS -- PARIS 1920'S",
    "  a white house with a red roof  ",
    "一只猫坐在窗台上看雨",
    "แมวสีขาวนั่งอยู่บนโต๊ะไม้",
    "猫と犬が庭で遊んでいる写真",
    "Ein alter Hund schläft auf dem Sofa",
    "Une maison blanche au bord de la mer",
    "Белый кот сидит на окне",
    "Free-range eggs, brown, 12 pcs.",
    "SALE!!! 50% OFF *** shoes *** bags ***",
    "the dog and the cat and the bird",
    "A-1 / B-2 / C-3 - 100 x 200 x 300 mm",
    "\u2764\ufe0f\u2764\ufe0f happy mother's day \u2764\ufe0f\u2764\ufe0f",
    "Photo, photo: a photo of a boat",
    "½ cup of sugar and ¾ cup of flour",
    "NEW YORK CITY SKYLINE AT NIGHT POSTER",
    "Café “Zentral” \u2013 Wien • Österreich",
    "Nike Air Max 90 Essential 537384-090",
    "कमल का फूल पानी में खिला हुआ",
    "mm mm mm mm",
    "1 2 3 4 5 6 7 8 9 10",
    "iPhone 7/8/SE case, black & gold",
    "Villa Rosa Apartments Split Croatia",
]


class Ten(NamedTuple):
    """One filter, on both sides."""

    name: str
    operator: str  # of data_juicer.ops.filter
    options: dict[str, Any]
    rule: str  # of Corgi; empty: a list does it
    reasons: dict[str, Callable[[str], bool]]  # why the two may disagree on a caption: what is so of that caption
    shares: bool = False  # data-juicer shares its words or pictures with other operators
    is_of_pictures: bool = False

    def reason(self, caption: str) -> str:
        """Return the first reason that holds for a caption; empty where none does."""
        return next((reason for reason, holds in self.reasons.items() if holds(caption)), "")


def _words(caption: str) -> list[str]:
    return caption.split()


def _is_unspaced(caption: str) -> bool:
    return re.search("[\u0e00-\u0eff\u3040-\u30ff\u4e00-\u9fff]", caption) is not None


def _has_words_of_signs(caption: str) -> bool:
    return any(not any(map(str.isalpha, word)) for word in _words(caption))


def _has_edges(caption: str) -> bool:
    return caption != caption.strip()


def _has_letters_at_signs(caption: str) -> bool:
    """Tell whether some word begins or ends with what is no letter: it is compared with it, or without."""
    return any(not (word[0].isalpha() and word[-1].isalpha()) for word in _words(caption))


def _has_inner_signs(caption: str) -> bool:
    return re.search(r"\w[^\w\s]+\w", caption) is not None


def _has_further_signs(caption: str) -> bool:
    return any(unicodedata.category(letter)[0] in "SPNM" and not letter.isascii() for letter in caption)


def _has_capitals(caption: str) -> bool:
    return caption != caption.lower()


SPACES = "spaces around the caption, which Corgi does not count"
UNSPACED = "a script without spaces, whose words Corgi finds and the peer does not"
SIGNS = "words of digits and signs, which the peer does not count"
STRIPPED = "words with signs at their ends, which the peer takes off"
FURTHER = "signs beyond ASCII: the peer has a list of them, the rule the classes of Unicode"
CAPITALS = "capitals, which the peer makes small before it asks the same model"
INNER = "words joined by a sign, which are two for Corgi and one for the peer"

TEN = (
    Ten("shape", "ImageShapeFilter", {"min_width": 160, "min_height": 160},
        "stored_width >= 160 and stored_height >= 160", {}, shares=True, is_of_pictures=True),
    Ten("aspect", "ImageAspectRatioFilter", {"min_ratio": 0.5, "max_ratio": 2.0},
        "aspect <= 2", {}, shares=True, is_of_pictures=True),
    Ten("bytes", "ImageSizeFilter", {"min_size": "10KB"},
        "tar_size >= 10 * 1024", {}, shares=True, is_of_pictures=True),
    Ten("length", "TextLengthFilter", {"min_len": 20, "max_len": 120},
        "caption_chars between 20 and 120", {SPACES: _has_edges}),
    Ten("words", "WordsNumFilter", {"min_num": 7}, "caption_words >= 7",
        {UNSPACED: _is_unspaced, SIGNS: _has_words_of_signs}, shares=True),
    Ten("letters", "AlphanumericFilter", {"min_ratio": 0.81},
        r"len(regexp_extract_all(caption, '[\p{L}\p{N}]')) >= 0.81 * length(caption)", {FURTHER: _has_further_signs}),
    Ten("signs", "SpecialCharactersFilter", {"max_ratio": 0.24},
        r"len(regexp_extract_all(caption, '[[:punct:][:digit:]\s]')) <= 0.24 * length(caption)",
        {FURTHER: _has_further_signs}),
    Ten("repetition", "WordRepetitionFilter", {"rep_len": 1, "max_ratio": 0.0}, "caption_repetition = 0",
        {UNSPACED: _is_unspaced, SIGNS: _has_words_of_signs, STRIPPED: _has_letters_at_signs}, shares=True),
    Ten("language", "LanguageIDScoreFilter", {"lang": "en", "min_score": 0.5},
        "language = 'en' and language_score >= 0.5", {CAPITALS: _has_capitals}),
    Ten("flagged", "FlaggedWordFilter", {"max_ratio": 0.0}, "", {INNER: _has_inner_signs}, shares=True),
)  # fmt: skip
