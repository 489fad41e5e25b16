"""Does a text speak of a person? Lists of words in many languages, and the disguises that words wear.

    person_in("a w0m\u00c4n")           "woman" (en)
    person_in("a p o l i c e m a n")    "policeman" (en)
    person_in("a cowboy hat")           None

    person_in("barack obama")           "barack obama" (en, a name)

It errs on the side of no: what it takes for a person by mistake gets another word. Names are those of the well known,
and given ones; about all others the policy asks, where they have a capital.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

LIST, NAMES = (Path(__file__).with_name(name) for name in ("persons.txt", "names.txt"))
LEET = str.maketrans("013457@$!|8", "oieastasiib")
LOOKALIKE = str.maketrans(  # Cyrillic and Greek letters that look Latin
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u04bb\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03b5\u03b7\u03bc",
    "aeopcyxisjdhkmtbhaopviktuenm",
)
ENDINGS: tuple[str, ...] = (
    "s",
    "es",
    "n",
    "en",
    "er",
    "in",
    "innen",
    "nen",
    "chen",
    "e",
    "a",
    "i",
    "x",
    "ed",
    "ish",
    "like",
    "hood",
)
ENDINGS += ("lar", "ler", "lein", "\u0627\u062a", "\u0648\u0646", "\u064a\u0646")  # Turkish, German, Arabic
SHORT = 4  # letters: shorter words take only a plural s, or a mane would be of a man
JOINED = 4  # words that one may have been cut into
UNSEEN = ("Mn", "Mc", "Me", "Cf", "Cc")  # categories of accents and of what has no width
NO_SPACES = re.compile(r"[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # such scripts
CYRILLIC = re.compile(r"[\u0400-\u04ff]+")
STEM = 3  # letters of a stem, at least


class Persons(NamedTuple):
    """The list: folded word -> what to say of it."""

    whole: dict[str, str]
    ends: dict[str, str]  # also at the end of a longer word
    inside: dict[str, str]  # also anywhere in one
    stems: dict[str, str]  # Cyrillic words without their last vowel
    names: dict[str, str]  # of persons, without gaps
    beginnings: tuple[str, ...]  # what may stand before a word
    cases: tuple[str, ...]  # what may stand after a stem
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
    bare = [word, *(word.removeprefix(each) for each in known.beginnings if word.startswith(each))]
    for each in bare:
        if found := known.names.get(each) or known.names.get(each.removesuffix("s")):
            return found
    for each in bare:
        for stem in (each, *(each.removesuffix(ending) for ending in ENDINGS if each.endswith(ending))):
            if stem in known.whole and (len(stem) >= SHORT or each in (stem, f"{stem}s")):
                return known.whole[stem]
    if not is_whole:
        return None
    for case in known.cases:
        if word.endswith(case) and (found := known.stems.get(word.removesuffix(case))):
            return found
    for stem in (word, word.removesuffix("s")):
        for end, says in known.ends.items():
            if stem.endswith(end):
                return says
    return next((says for inner, says in known.inside.items() if inner in word), None)


@cache
def persons() -> Persons:
    """Return the list, read once."""
    known = Persons({}, {}, {}, {}, {}, (), (), re.compile(""))
    for language, words in _lines(LIST):
        if language == "allowed":
            longest = sorted((folded(phrase.strip()) for phrase in words.split(",")), key=len, reverse=True)
            known = known._replace(allowed=re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b"))
        elif language == "beginnings":
            known = known._replace(beginnings=tuple(map(folded, words.split())))
        elif language == "cyrillic":
            known = known._replace(cases=tuple(map(folded, words.split())))
        else:
            for entry in words.split():
                _add(known, entry, language)
    for language, phrases in _lines(NAMES):
        for phrase in phrases.split(","):
            name, says = _closed(phrase), f'"{phrase.strip()}" ({language}, a name)'
            known.names.setdefault(name, says)
            if NO_SPACES.search(name):
                known.inside.setdefault(name, says)
            elif CYRILLIC.fullmatch(name):
                known.stems.setdefault(name, says)
    return known


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        language, colon, words = line.partition(":")
        if colon and not line.startswith("#"):
            yield language, words


def _add(known: Persons, entry: str, language: str) -> None:
    word, says = _closed(entry), f'"{entry.strip("*").replace("_", " ")}" ({language})'
    known.whole.setdefault(word, says)
    if (entry.startswith("*") and entry.endswith("*")) or NO_SPACES.search(word):
        known.inside.setdefault(word, says)
    elif entry.startswith("*"):
        known.ends.setdefault(word, says)
    elif CYRILLIC.fullmatch(word):
        stem = next((word.removesuffix(case) for case in known.cases if len(case) == 1 and word.endswith(case)), word)
        if len(stem) >= STEM:
            known.stems.setdefault(stem.removesuffix("\u044c"), says)  # the soft sign


def _closed(text: str) -> str:
    """Return folded text without the gaps between its words."""
    return re.sub(r"[\W\d_]", "", folded(text))
