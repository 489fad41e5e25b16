"""What a caption looks like, before asking what it means: its length, its letters, and leftovers of web pages."""

import re
import unicodedata
from typing import Any, ClassVar

import pyarrow as pa

from configs import Config, fingerprint

from .base import Batch

VERSION = 1  # raise when an answer changes

MARKUP = re.compile(
    r"</?[a-z][a-z0-9]*(\s[^<>]*)?/?>|<!--"  # <b>, <img src=...>
    r"|&(#\d+|#x[0-9a-f]+|[a-z]{2,8}\d?);"  # &amp; &#39;
    r"|\[/?(img|url|b|i|caption|quote|size|color)\b[^\]]*\]"  # BBCode
    r"|\{\{|\}\}|\{%|<\?php|\$\{"  # templates
    r"|\bhttps?://|\bwww\.\w"  # addresses
    r"|\w\s*\{[^{}]*:[^{}]*;[^{}]*\}",  # style sheets
    re.IGNORECASE,
)
FILENAME = re.compile(
    r"(\S+\.(jpe?g|png|gif|webp|bmp|tiff?|svg|heic|psd|pdf)"  # sunset-02.jpg as the only word
    r"|(img|dsc[fn]?|p|pict?|image|photo|screen ?shot|untitled|unnamed)[-_ ]?\(?\d*\)?)",  # DSC_0042, Untitled
    re.IGNORECASE,
)


class CaptionConfig(Config):
    """Nothing to choose yet."""


class Caption:
    """Counts are of the caption without surrounding spaces.

    caption_chars: code points. caption_words: runs without spaces. caption_letters: share of letters (with their
    marks) among the characters that are not spaces, 0 for an empty caption. caption_markup: carries markup, templates
    or addresses. caption_filename: is nothing but the name of a file.
    """

    name: ClassVar[str] = "caption"
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    columns: ClassVar[dict[str, pa.DataType]] = {
        "caption_chars": pa.int32(),
        "caption_words": pa.int32(),
        "caption_letters": pa.float32(),
        "caption_markup": pa.bool_(),
        "caption_filename": pa.bool_(),
    }

    def __init__(self, config: CaptionConfig) -> None:
        self.config = config
        self.fingerprint = fingerprint(self.name, VERSION, config, unicodedata.unidata_version)

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        captions = [caption.strip() for caption in batch.captions]
        return {
            "caption_chars": [len(caption) for caption in captions],
            "caption_words": [len(caption.split()) for caption in captions],
            "caption_letters": [letters(caption) for caption in captions],
            "caption_markup": [MARKUP.search(caption) is not None for caption in captions],
            "caption_filename": [FILENAME.fullmatch(caption) is not None for caption in captions],
        }


def letters(text: str) -> float:
    """Return the share in [0, 1] of letters and their combining marks among the characters that are not spaces."""
    solid = [character for character in text if not character.isspace()]
    return sum(unicodedata.category(character)[0] in "LM" for character in solid) / max(len(solid), 1)
