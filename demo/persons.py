"""Does a text speak of a person? A list of words in many languages, and the disguises that words wear.

    person_in("a w0m\u00c4n")           "woman" (en)
    person_in("a p o l i c e m a n")    "policeman" (en)
    person_in("a cowboy hat")           None

It errs on the side of no: what it takes for a person by mistake gets another word. Persons' names are not in the list;
the policy asks about every word with a capital instead.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("persons.txt")
LEET = str.maketrans("013457@$!|8", "oieastasiib")
LOOKALIKE = str.maketrans(  # Cyrillic and Greek letters that look Latin
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u04bb\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03b5\u03b7\u03bc",
    "aeopcyxisjdhkmtbhaopviktuenm",
)
ENDINGS = ("s", "es", "n", "en", "er", "in", "innen", "nen", "chen", "e", "a", "i", "x", "ed", "ish", "like", "hood")
SHORT = 4  # letters: shorter words take only a plural s, or a mane would be of a man
JOINED = 4  # words that one may have been cut into
UNSEEN = ("Mn", "Mc", "Me", "Cf", "Cc")  # categories of accents and of what has no width
NO_SPACES = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # scripts without spaces


class Persons(NamedTuple):
    """The list: folded word -> what to say of it."""

    whole: dict[str, str]
    ends: dict[str, str]  # also at the end of a longer word
    inside: dict[str, str]  # also anywhere in one
    allowed: re.Pattern[str]  # phrases that only sound so


def person_in(text: str) -> str | None:
    """Return the word that speaks of a person, with its language; None where there is none."""
    known, plain = persons(), folded(text)
    for variant in dict.fromkeys([plain, plain.translate(LEET), plain.translate(LOOKALIKE)]):
        squeezed = re.sub(r"(.)\1{2,}", r"\1", variant)
        for each in dict.fromkeys([variant, squeezed]):
            for part in known.allowed.split(each):
                for candidate, is_whole in _candidates(part):
                    if found := _look_up(known, candidate, is_whole=is_whole):
                        return found
    return None


def folded(text: str) -> str:
    """Return text without case, accents and characters that cannot be seen."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(char for char in apart if unicodedata.category(char) not in UNSEEN).casefold()


def _candidates(text: str) -> Iterator[tuple[str, bool]]:
    """Yield words, and what neighbours make when the gap between them is closed; is it a word as it stands?"""
    words = re.findall(r"[^\W\d_]+", text)
    yield from ((word, True) for word in words)
    for first in range(len(words)):
        for last in range(first + 2, min(first + JOINED, len(words)) + 1):
            yield "".join(words[first:last]), False
    for run in re.findall(r"(?:(?<![^\W\d_])[^\W\d_](?:[\W\d_]+|$)){3,}", text):
        letters = "".join(re.findall(r"[^\W\d_]", run))
        for first in range(len(letters)):
            yield from ((letters[first:last], False) for last in range(first + 3, len(letters) + 1))


def _look_up(known: Persons, word: str, *, is_whole: bool) -> str | None:
    stems = [word, *(word.removesuffix(ending) for ending in ENDINGS if word.endswith(ending))]
    for stem in stems:
        if stem in known.whole and (len(stem) >= SHORT or word in (stem, f"{stem}s")):
            return known.whole[stem]
    if not is_whole:
        return None
    for stem in (word, word.removesuffix("s")):
        for end, says in known.ends.items():
            if stem.endswith(end):
                return says
    return next((says for inner, says in known.inside.items() if inner in word), None)


@cache
def persons() -> Persons:
    """Return the list, read once."""
    whole: dict[str, str] = {}
    ends: dict[str, str] = {}
    inside: dict[str, str] = {}
    allowed: list[str] = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        language, colon, words = line.partition(":")
        if line.startswith("#") or not colon:
            continue
        if language == "allowed":
            allowed += [folded(phrase.strip()) for phrase in words.split(",")]
            continue
        for entry in words.split():
            word = folded(entry.strip("*"))
            says = f'"{entry.strip("*")}" ({language})'
            whole.setdefault(word, says)
            if (entry.startswith("*") and entry.endswith("*")) or NO_SPACES.search(word):
                inside.setdefault(word, says)
            elif entry.startswith("*"):
                ends.setdefault(word, says)
    longest = sorted(allowed, key=len, reverse=True)
    return Persons(whole, ends, inside, re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b"))
