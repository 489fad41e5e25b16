"""Lists of what is never kept, by hash, url, host or text. When one grows, `corgi select` alone applies it.

A file has an entry a line; what begins with # is a comment. Tables with commas are understood as ThreatExchange and
others export them: of a line its first field that is such a hash counts, unless another field says that it is of
another kind. A hash is of the picture as it was fetched or as it is stored, or one that the url table brings.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from configs import Config, UserError, shortened
from filters.near_list import NearList
from filters.pdq import turned
from storage.atomic import sha256_cached

from .blocklists import in_ascii
from .captions import normalised

DIGITS = {"sha256": 64, "md5": 32, "pdq": 64}  # hexadecimal ones of a hash
COLUMNS = {
    "sha256": ("stored_sha256", "fetched_sha256", "sha256"),
    "md5": ("md5",),
    "pdq": ("pdq",),
    "url": ("url", "final_url"),
    "host": ("url", "final_url"),
    "text": ("caption",),
}
NEEDED = ("key", *dict.fromkeys(name for names in COLUMNS.values() for name in names))
HOST = re.compile(r"[^\s/,:]+|\[?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?")  # with no port; or IPv6
KIND = re.compile(r"(?i)(hash_)?(pdq|md5|sha256|sha1|sha512|tmk|video_md5|pdq_ocr|vpdq|url|uri|raw_text|trend_query)")
# Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han. Each is a word here.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
# Marks over and beside letters, which \w leaves out: without them words of Hindi that differ in vowels would be one.
MARKS = "".join(chr(code) for code in range(0x300, 0x2000) if unicodedata.category(chr(code)).startswith("M"))
WORD = re.compile(rf"[{UNSPACED}]|(?:[^\W{UNSPACED}]++|[{MARKS}])++")


class ListConfig(Config):
    """Files of one list. A pair that one of them names is dropped by the list's name, before all rules."""

    sha256: list[Path] = Field(default=[], examples=[["hashes.txt"]])  # of the picture's bytes, 64 hex digits
    md5: list[Path] = Field(default=[], examples=[["md5.csv"]])  # as the url table brings it in a column `md5`
    pdq: list[Path] = Field(default=[], examples=[["threat_exchange.csv"]])  # of alike pictures, see `distance`
    url: list[Path] = Field(default=[], examples=[["links.txt"]])  # asked for or led to
    host: list[Path] = Field(default=[], examples=[["hosts.txt"]])  # and all below it
    text: list[Path] = Field(default=[], examples=[["phrases.txt"]])  # words that stand in a caption, in any case
    distance: int = Field(default=31, ge=0, le=64)  # bits in which a PDQ hash may differ; its authors take 31
    # Whether a PDQ hash also names turned and mirrored pictures, as far as it tells; false: `corgi hashes` listed them.
    turned: bool = True

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not any(getattr(self, kind) for kind in COLUMNS):
            raise ValueError(f"a list names no file; give one of {', '.join(COLUMNS)}")
        return self

    @property
    def content(self) -> list[object]:
        """Return what its answers depend on. Raises UserError where a file is not there."""
        try:
            return [self.distance, self.turned, *([kind, *map(sha256_cached, getattr(self, kind))] for kind in COLUMNS)]
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}; select.lists names it") from None


def unlisted(pairs: pa.Table, lists: Mapping[str, ListConfig]) -> dict[str, pa.ChunkedArray]:
    """Return for each list which pairs it does not name: bool, one a row, as `filters.rules.holds` has it.

    pairs: with those of NEEDED that there are. Raises UserError for a list of hashes that no pair has a column for.
    """
    answers = {}
    for name, config in lists.items():
        is_listed = np.zeros(len(pairs), bool)
        for kind in COLUMNS:
            if getattr(config, kind):
                here = [column for column in COLUMNS[kind] if column in pairs.column_names]
                if not here:
                    missing = "score.pdq, which is null" if kind == "pdq" else "a column of the url table"
                    raise UserError(f"select.lists.{name}.{kind} needs {COLUMNS[kind][0]!r}: {missing}")
                entries = _entries(name, kind, tuple(getattr(config, kind)), str(config.content))
                for column in here:
                    is_listed |= entries.names(pairs[column], config)
        answers[name] = pa.chunked_array([~is_listed], pa.bool_())
    return answers


class Entries(NamedTuple):
    """What some files list, of one kind."""

    kind: str
    values: frozenset[str]

    def names(self, column: pa.ChunkedArray, config: ListConfig) -> np.ndarray:
        """Return (n,) bool: which values are listed; NULL never is."""
        if self.kind == "pdq":
            return _near(self.values, config.distance, config.turned).near(column.to_pylist())
        if self.kind == "host":
            return self._each(column, lambda url: any(host in self.values for host in _hosts(url)))
        if self.kind == "text":
            phrases = _phrases(self.values)
            return self._each(column, phrases.are_in)
        normal = column if self.kind == "url" else pc.utf8_lower(column.cast(pa.string()))
        return pc.is_in(normal, value_set=pa.array(sorted(self.values), pa.string())).to_numpy()

    def _each(self, column: pa.ChunkedArray, is_listed: Callable[[str], bool]) -> np.ndarray:
        return np.fromiter((bool(text) and is_listed(text) for text in column.to_pylist()), bool, len(column))


class _Phrases:
    """Phrases to be found in captions, word by word: linear in the caption, whatever is listed."""

    def __init__(self, phrases: frozenset[str]) -> None:
        self._words = frozenset(tuple(words_of(normalised(phrase))) for phrase in phrases)

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(words) for words in self._words if words})

    def are_in(self, caption: str) -> bool:
        """Tell whether any stands in a caption."""
        words = words_of(caption)
        return any(
            tuple(words[at : at + length]) in self._words
            for length in self._lengths
            for at in range(len(words) - length + 1)
        )


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: without case and what stands between them."""
    return WORD.findall(text.casefold())


@lru_cache(maxsize=8)
def _phrases(values: frozenset[str]) -> _Phrases:
    return _Phrases(values)


@lru_cache(maxsize=8)
def _near(values: frozenset[str], distance: int, is_turned: bool) -> NearList:
    hashes = np.frombuffer(bytes.fromhex("".join(sorted(values))), np.uint64).reshape(-1, 4)
    every = np.unique(turned(hashes).reshape(-1, 4), axis=0) if is_turned else hashes
    return NearList([each.tobytes() for each in every], distance=distance)


@lru_cache(maxsize=64)
def _entries(name: str, kind: str, files: tuple[Path, ...], content: str) -> Entries:
    """Read files, once for as long as they are the same."""
    return Entries(kind, frozenset(value for file in files for value in _values(name, kind, file)))


def _values(name: str, kind: str, file: Path) -> Iterator[str]:
    found = False
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        value = _hash(text, kind) if kind in DIGITS else _plain(text, kind)
        if value is None and "," not in text:  # else it may be a heading, or of another kind
            raise UserError(
                f"{file}, line {number}: {shortened(text, 60)!r} is no {kind}; select.lists.{name} names it"
            )
        if value:
            found = True
            yield value
    if not found:
        raise UserError(f"{file} lists no {kind}; select.lists.{name} names it")


def _hash(text: str, kind: str) -> str | None:
    """Return the hash of a line; None where there is none, or where it says that it is of another kind."""
    fields = [field.strip().strip('"') for field in text.split(",")]
    said = [match[2].lower() for field in fields if (match := KIND.fullmatch(field))]
    if said and kind not in said:
        return None
    hexadecimal = re.compile(rf"[0-9a-fA-F]{{{DIGITS[kind]}}}")
    firsts = [field.split(maxsplit=1)[0] for field in fields if field]  # sha256sum has the picture's name behind it
    return next((first.lower() for first in firsts if hexadecimal.fullmatch(first)), None)


def _plain(text: str, kind: str) -> str | None:
    if kind == "url":
        return text if "://" in text else None
    if kind == "host":
        return _asked_for(text.lower().removeprefix("*.").strip("[].")) if HOST.fullmatch(text) else None
    return text if words_of(text) else None


def _asked_for(host: str) -> str:
    return host if host.isascii() and "%" not in host else in_ascii(host)


def _hosts(url: str) -> Iterator[str]:
    """Yield the host of a url and those above it."""
    try:
        host = _asked_for((urlsplit(url).hostname or "").rstrip("."))
    except ValueError:  # no url at all
        return
    while host:
        yield host
        host = host.partition(".")[2]
