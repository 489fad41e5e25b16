"""What ordinary words of a caption do together: whom they are about, and what is said of them, in eight languages.

The words lie in attack_words/, a file for each language, written by what they mean. A line is `class: words`; `*` ends
a stem ("immigr*"), `_` joins the words of a phrase, and `~` in a phrase stands for up to two words. The classes:

    group, person       a group that people are hated for; somebody, of whom captions mostly say nothing bad
    all, them, you      all of them, they and their kind, who is spoken to; this: one who is pointed at
    be, must            what joins them to what is said
    hate, kill, out     to hate, to harm, to drive away; death, away: phrases that say so without naming anybody
    bad, flaw, beast    bad of people; what may also be said without harm; what people are likened to
    vile                insults, which mean people alone
    good                what people are denied
    role, curse         what groups are accused of, or denied; swearing
    our                 our country
    not, against, media what turns it around: negation, who refuses hate, titles and museums
    plain               phrases that mean no harm: their words are not looked at

None of them is bad by itself. Words count together only within one language: German "die" is no English verb.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from . import model_file, words

LISTS = Path(__file__).parent / "attack_words"
CLASSES = (
    *(
        "group",
        "person",
        "all",
        "them",
        "you",
        "this",
        "be",
        "must",
        "hate",
        "kill",
        "death",
        "out",
        "away",
        "bad",
        "flaw",
        "beast",
    ),
    *("vile", "role", "curse", "good", "not", "against", "media", "our", "plain"),
)
NEGATIVE = -1.8  # mean valence, of -4 to 4, of words that say something bad
GAP = "~"
MOST_SKIPPED = 2  # words, by a gap
SHORTEST_STEM, LONGEST = 2, 40  # characters of a stem, and of any word that is listed
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")
KANA = re.compile("[\u3040-\u30ff]")
ABUSE = 3  # characters of an insult that is none of one word
MOST_HAN = 6  # characters of a word
# Traditional characters and, in the same places, simplified ones: of those that the words of zh.txt have.
TRADITIONAL = (
    "猶們這個國滾殺應該讓惡噁髒醜懶貪騙賤豬黃難亞華導銀媒體佔領繁懲處槍斃滅絕謀強姦劍鬼貧窮鄉農俄羅亂緒討"
    "厭視無發臭變態廢蠢雜種獸蟲癌瘋賊竊壞類來會說罵稱貝勞動業隊準離開關進監獄趕遣飯搶佈傳疾當嗎對"
)
SIMPLIFIED = (
    "犹们这个国滚杀应该让恶恶脏丑懒贪骗贱猪黄难亚华导银媒体占领繁惩处枪毙灭绝谋强奸剑鬼贫穷乡农俄罗乱绪讨"
    "厌视无发臭变态废蠢杂种兽虫癌疯贼窃坏类来会说骂称贝劳动业队准离开关进监狱赶遣饭抢布传疾当吗对"
)
FOLD = str.maketrans(TRADITIONAL, SIMPLIFIED)


class Phrase(NamedTuple):
    """Words that follow each other, in one language."""

    language: str
    names: tuple[str, ...]  # of its classes
    parts: tuple[str, ...]  # words, stems that end with a star, gaps


class Entry(NamedTuple):
    """What a word may be."""

    classes: tuple[tuple[str, str], ...]  # language and class
    phrases: tuple[Phrase, ...]  # that begin with it, longest first


def sentiment() -> model_file.ModelFile:
    """Return the lexicon of VADER: how bad ten people found each of 7,520 English words (Hutto, Gilbert 2014)."""
    return model_file.find("vaderSentiment", "vader_lexicon.txt", distribution="vaderSentiment")


def files() -> list[Path]:
    """Return the files of words."""
    return sorted(LISTS.glob("*.txt"))


@cache
def digest() -> str:
    """Return the sha256 of all words."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files())).hexdigest()


@cache
def _entries() -> dict[str, Entry]:
    """Return folded word, or stem with its star -> what it may be. Chinese words are not among them."""
    classes: dict[str, list[tuple[str, str]]] = {}
    phrases: dict[str, dict[tuple[str, tuple[str, ...]], list[str]]] = {}
    for language, name, text in _listed():
        parts = tuple(_parts(text))
        if len(parts) == 1:
            classes.setdefault(parts[0], []).append((language, name))
        else:
            phrases.setdefault(parts[0], {}).setdefault((language, parts), []).append(name)
    return {
        key: Entry(
            tuple(dict.fromkeys(classes.get(key, ()))),
            tuple(Phrase(language, tuple(names), parts) for (language, parts), names in phrases.get(key, {}).items()),
        )
        for key in classes.keys() | phrases.keys()
    }


def _listed() -> Iterator[tuple[str, str, str]]:
    """Yield language, class and text of all that is listed."""
    for file in files():
        for line in file.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                name, _, listed = line.partition(":")
                yield from ((file.stem, name, text) for text in listed.split())
    for line in sentiment().path.read_text(encoding="utf-8").splitlines():
        word, valence, *_ = line.split("\t")
        if word.isalpha() and float(valence) <= NEGATIVE:
            yield "en", "negative", word


def _parts(text: str) -> Iterator[str]:
    for part in text.split("_"):
        if part == GAP:
            yield GAP
        elif part:
            *before, last = words.tokens(part.removesuffix("*"))
            yield from before
            yield f"{last}*" if part.endswith("*") else last


@cache
def _chinese() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for language, name, text in _listed():
        if language == "zh":
            found.setdefault(text, []).append(name)
    return {key: tuple(names) for key, names in found.items()}


@lru_cache(maxsize=100_000)
def _entry(word: str) -> Entry | None:
    """Return what a word, of LONGEST + 1 characters at most, may be by itself and by its stems."""
    known = _entries()
    found = [
        known[key] for key in (word, *(f"{word[:n]}*" for n in range(SHORTEST_STEM, len(word) + 1))) if key in known
    ]
    if not found:
        return None
    classes = tuple(dict.fromkeys(each for entry in found for each in entry.classes))
    return Entry(
        classes, tuple(sorted((each for entry in found for each in entry.phrases), key=lambda each: -len(each.parts)))
    )


Places = dict[str, list[int]]  # class -> at which words, in order


@words.remembered
def read(text: str) -> dict[str, Places]:
    """Return language -> the places of all that is listed in it, where anything is."""
    found = _read(words.tokens(text))
    if not text.isascii() and not KANA.search(text) and (chinese := _read_chinese(text)):
        found["zh"] = chinese
    return found


def _read(tokens: Sequence[str]) -> dict[str, Places]:
    found: dict[str, Places] = {}
    covered: dict[str, int] = {}  # language -> the word after its last phrase
    for at, word in enumerate(tokens):
        if (entry := _entry(word[: LONGEST + 1])) is None:
            continue
        taken = set[str]()
        for phrase in entry.phrases:
            if phrase.language in taken or covered.get(phrase.language, 0) > at:
                continue
            if end := _end(phrase.parts, tokens, at):
                for name in (*phrase.names, "abuse") if "vile" in phrase.names else phrase.names:
                    found.setdefault(phrase.language, {}).setdefault(name, []).append(at)
                taken.add(phrase.language)
                if GAP not in phrase.parts:
                    covered[phrase.language] = end
        for language, name in entry.classes:
            if language not in taken and covered.get(language, 0) <= at:
                found.setdefault(language, {}).setdefault(name, []).append(at)
    return found


def _end(parts: Sequence[str], tokens: Sequence[str], at: int) -> int:
    """Return the place behind a phrase that begins at a word, or 0."""
    for number, part in enumerate(parts):
        if part == GAP:
            rest = parts[number + 1 :]
            return (
                next((end for n in range(MOST_SKIPPED + 1) if (end := _end(rest, tokens, at + n))), 0) if rest else at
            )
        if at >= len(tokens) or not (tokens[at] == part or (part[-1] == "*" and tokens[at].startswith(part[:-1]))):
            return 0
        at += 1
    return at


def _read_chinese(text: str) -> Places:
    """Return the places of all that is listed in Chinese. A word counts one, any other character, too."""
    known, found, at = _chinese(), dict[str, list[int]](), 0
    for run in HAN.findall(text.translate(FOLD)):
        start = 0
        while start < len(run):
            size = next(
                (n for n in range(min(MOST_HAN, len(run) - start), 0, -1) if run[start : start + n] in known), 0
            )
            names = known.get(run[start : start + size], ())
            for name in (*names, "abuse") if size >= ABUSE and "vile" in names else names:
                found.setdefault(name, []).append(at)
            start, at = start + max(1, size), at + 1
        at += 1  # what stands between
    return found


def is_name(word: str) -> bool:
    """Tell whether a word names somebody of whom mostly nothing bad is said, or a colour."""
    entry = _entry(word[: LONGEST + 1])
    return entry is not None and any(name == "person" for _, name in entry.classes)
