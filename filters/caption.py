"""What a caption looks like, before asking what it means: length, letters, repetition, and leftovers of web pages.

Every pattern takes time linear in the caption: what may repeat never overlaps with what comes after it, and no part
looks further than to the next place where it could begin.
"""

import re
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from configs import Config, fingerprint

from . import model_file
from .alphabet import alphabet_of
from .base import Batch

if TYPE_CHECKING:
    from icu4py.breakers import WordBreaker

VERSION = 3  # raise when an answer changes

TAGS = re.compile(
    r"</?[a-z][a-z0-9]*(\s[^<>]*)?/?>|<!--"  # <b>, <img src=...>
    r"|&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8}\d?);"  # &amp; &#39;
    r"|\[/?(img|url|b|i|caption|quote|size|color)\b[^][]*\]"  # BBCode
    r"|\{\{|\}\}|\{%|<\?php|\$\{"  # templates
    r"|\w\s*\{[^{}:]*:[^{};]*;[^{}]*\}",  # style sheets
    re.IGNORECASE,
)
URL = re.compile(r"\bhttps?://|\bwww\.\w", re.IGNORECASE)
ENDING = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|svg|heic|psd|pdf)", re.IGNORECASE)
CAMERA = re.compile(
    r"(img|dsc[fn]?|p|pict?|image|photo|screen ?shot|untitled|unnamed)[-_ ]?\(?\d{0,12}\)?", re.IGNORECASE
)
# What is written under pictures and tells nothing of them, word by word.
UNDER_ANY = """
image images img photo photos photograph picture pictures pic pics thumbnail thumb slide figure fig screenshot
gallery banner header footer logo icon avatar placeholder default untitled unnamed preview cover featured main
profile product item page home stock royalty free vector vectors illustration footage premium download click here
tap enlarge view zoom see larger full size available not found unavailable removed coming soon loading is may
contain add cart wishlist share read more learn buy now source credit copyright all rights reserved advertisement
of for the a on by and to in no number nr open close next previous back attachment media file upload uploaded
"""
BOILERPLATE = frozenset(UNDER_ANY.split())
ENOUGH_WORDS = 12  # no boilerplate is longer
# Scripts that are written without spaces: Thai, Lao, Myanmar, Khmer, kana, and Chinese characters.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)
STRIPPED = "!?.,:;#()[]{}*'\"-_/|<>"


class CaptionConfig(Config):
    """Nothing to choose yet."""


class Caption:
    """Counts are of the caption without surrounding spaces.

    caption_chars: code points. caption_words: runs without spaces, or words as ICU divides them where a script has no
    spaces. caption_letters: share of letters (with their marks) among the characters that are not spaces, 0 for an
    empty caption. caption_repetition: share of words that were said before in the caption. caption_markup: carries
    markup, templates or addresses. caption_url: carries an address. caption_filename: is nothing but the name of a
    file. caption_boilerplate: says no more than what stands under any picture. caption_alphabet: "latin", "cyrillic",
    "han" and so on, the script of most letters; NULL where there is none.
    """

    name: ClassVar[str] = "caption"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "caption_chars": pa.int32(),
        "caption_words": pa.int32(),
        "caption_letters": pa.float32(),
        "caption_repetition": pa.float32(),
        "caption_markup": pa.bool_(),
        "caption_url": pa.bool_(),
        "caption_filename": pa.bool_(),
        "caption_boilerplate": pa.bool_(),
        "caption_alphabet": pa.string(),
    }

    def __init__(self, config: CaptionConfig) -> None:
        self.config = config
        icu = model_file.find("icu4py", "breakers.pyi", distribution="icu4py")
        self.fingerprint = fingerprint(self.name, VERSION, config, unicodedata.unidata_version, icu.version)

    @cached_property
    def _breaker(self) -> "type[WordBreaker]":
        from icu4py.breakers import WordBreaker

        return WordBreaker

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        captions = [caption.strip() for caption in batch.captions]
        words = [self.words(caption) for caption in captions]
        urls = [URL.search(caption) is not None for caption in captions]
        return {
            "caption_chars": [len(caption) for caption in captions],
            "caption_words": [len(each) for each in words],
            "caption_letters": [letters(caption) for caption in captions],
            "caption_repetition": [repetition(each) for each in words],
            "caption_markup": [
                is_url or TAGS.search(text) is not None for is_url, text in zip(urls, captions, strict=True)
            ],
            "caption_url": urls,
            "caption_filename": [is_filename(caption) for caption in captions],
            "caption_boilerplate": [is_boilerplate(each) for each in words],
            "caption_alphabet": [alphabet_of(caption) for caption in captions],
        }

    def words(self, text: str) -> list[str]:
        """Return the words: runs without spaces, or those of ICU's dictionaries where a script has no spaces."""
        if text.isascii() or UNSPACED.search(text) is None:
            return text.split()
        return [word for word in self._breaker(text, "en") if any(map(str.isalnum, word))]


def letters(text: str) -> float:
    """Return the share in [0, 1] of letters and their combining marks among the characters that are not spaces."""
    solid = "".join(text.split())
    if solid.isascii():
        return sum(map(str.isalpha, solid)) / max(len(solid), 1)
    return sum(unicodedata.category(character)[0] in "LM" for character in solid) / len(solid)


def repetition(words: list[str]) -> float:
    """Return the share in [0, 1) of words that were said before; CC12M drops captions of more than 0.2."""
    return 1 - len(set(map(str.lower, words))) / len(words) if words else 0.0


def is_filename(text: str) -> bool:
    """Tell whether a caption is the name of a file: "Fox Crochet Hat.jpg", "DSC_0042", no "a photo of DSC_0042.JPG"."""
    stem, dot, ending = text.rpartition(".")
    if dot and len(ending) <= 4 and ENDING.fullmatch(dot + ending) and stem:
        *before, last = stem.split() or [""]
        return not before or CAMERA.fullmatch(last) is None
    return len(text) <= 32 and CAMERA.fullmatch(text) is not None


def is_boilerplate(words: list[str]) -> bool:
    """Tell whether a caption is nothing but numbers, signs and words that stand under any picture."""
    if not words or len(words) > ENOUGH_WORDS:
        return False
    bare = (word.strip(STRIPPED).lower() for word in words)
    return all(word in BOILERPLATE or not any(map(str.isalpha, word)) for word in bare) and has_letter(words)


def has_letter(words: list[str]) -> bool:
    """Tell whether any word has a letter."""
    return any(any(map(str.isalpha, word)) for word in words)
