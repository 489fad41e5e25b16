"""Which alphabet a caption is written in: the script of most of its letters, by ranges of unicode."""

import re

# In the order of their code points; what is in none of them is "other".
RANGES = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\ua720-\ua7ff\uff21-\uff5a",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "armenian": "\u0530-\u058f",
    "hebrew": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefe",
    "devanagari": "\u0900-\u097f",
    "bengali": "\u0980-\u09ff",
    "tamil": "\u0b80-\u0bff",
    "thai": "\u0e00-\u0e7f",
    "georgian": "\u10a0-\u10ff",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "kana": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
}
LETTERS = {name: re.compile(f"[{ranges}]") for name, ranges in RANGES.items()}
LETTER = re.compile(r"[^\W\d_]")


def alphabet_of(text: str) -> str | None:
    """Return the name of the script of most letters, "other" for one that is not listed; None where there is none.

    Of equally many the first in the order of RANGES.
    """
    if text.isascii():
        return "latin" if LETTER.search(text) else None
    letters = len(LETTER.findall(text))
    if not letters:
        return None
    counts = {name: len(pattern.findall(text)) for name, pattern in LETTERS.items()}
    counts["other"] = letters - sum(counts.values())
    return max(counts, key=counts.__getitem__)
