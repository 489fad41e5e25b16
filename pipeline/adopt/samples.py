"""A sample of any source, and the columns that all samples of a shard have in common."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import pyarrow as pa

from pipeline.captions import RAW, normalised
from pipeline.columns import is_made_here
from pipeline.url_tables import CAPTION_NAMES, LIST_NAMES, RENAMED, URL_NAMES
from storage import pairs

MOST_COLUMNS = 200
# Characters: with the longest ending, .text_embeds.npy, ustar has room for 100. A file's name may stand before a key.
LONGEST_KEY, LONGEST_NAME, DIGEST = 84, 60, 16
# What img2dataset says of its own work, and what is found out anew.
NOT_TAKEN = {"key", "url", "caption", RAW, "error_message", "exif", "width", "height", *pairs.COLUMNS.names}


class Problem(NamedTuple):
    """Why a sample is lost before its image is looked at."""

    reason: str
    detail: str = ""


@dataclass(kw_only=True)
class Sample:
    """An image and its caption, wherever they lie."""

    key: str  # as the source calls it, made safe
    caption: str = ""
    url: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)  # all else that the source says of it
    place: Any = None  # of the image, for the source's `read`
    problem: Problem | None = None


class Source(Protocol):
    """An opened source of one shard."""

    def samples(self) -> Iterator[Sample]:
        """Yield all samples in order, each as far as it can be read without its image."""

    def read(self, place: Any) -> bytes:
        """Return the bytes of an image. Raises NoImage."""


class NoImage(ValueError):  # noqa: N818  # as of a download, most losses are no errors
    """There are no bytes of an image, for the reason that is said."""


def first_text(fields: Mapping[str, Any], name: str | None, usual: Sequence[str]) -> str:
    """Return the text in the field `name`, or in the first of the usual ones that has any; of a list its first."""
    by_lower = {key.lower(): value for key, value in fields.items()}
    for key in usual if name is None else (name.lower(),):
        value = by_lower.get(key)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str) and value.strip():
            return value
    return ""


def caption_of(fields: Mapping[str, Any], name: str | None) -> str:
    """Return the caption that the fields hold, "" where they hold none. Tables made of a WebDataset say txt."""
    return first_text(fields, name, (*CAPTION_NAMES, *LIST_NAMES["caption"], "txt"))


def url_of(fields: Mapping[str, Any], name: str | None) -> str:
    """Return the url that the fields hold, "" where they hold none."""
    return first_text(fields, name, URL_NAMES).strip()


def safe_key(key: str) -> str:
    """Return a key that can be a file's name and a word of a command: what is neither letter nor digit is %-coded."""
    return quote(key.encode("utf-8", "surrogateescape"), safe="").replace(".", "%2E")


def within(key: str, longest: int = LONGEST_KEY) -> str:
    """Return a safe key of so many characters at most: one that is too long ends in a digest of its whole."""
    if len(key) <= longest:
        return key
    return key[: longest - DIGEST] + sha256(key.encode()).hexdigest()[:DIGEST]


def planned_table(samples: Sequence[Sample], keys: Sequence[str]) -> pa.Table:
    """Return key, url, captions and all further columns, of one type each. keys: one a sample, all different."""
    columns = {
        "key": pa.array(keys, pa.string()),
        "url": pa.array([sample.url for sample in samples], pa.string()),
        "caption": pa.array([normalised(sample.caption) for sample in samples], pa.string()),
        RAW: pa.array([sample.caption for sample in samples], pa.string()),
    }
    for name, ours in _names(sample.fields for sample in samples).items():
        columns[ours] = typed_column([sample.fields.get(name) for sample in samples])
    return pa.table(columns)


def _names(every: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the source's name -> ours, of the fields that become columns, in order of their first sight."""
    names: dict[str, str] = {}
    for fields in every:
        for name in fields:
            lower = name.lower()
            if name in names or lower in NOT_TAKEN or len(names) == MOST_COLUMNS:
                continue
            ours = f"{RENAMED}{lower}" if is_made_here(lower) else lower
            if ours not in names.values():
                names[name] = ours
    return names


def typed_column(values: list[Any]) -> pa.Array:
    """Return values as bool, int64, float64 or text: the narrowest that holds them all, text of others being JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if value is None else _float(value) for value in values], pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text.encode("utf-8", "replace").decode()  # JSON may hold half of a surrogate pair
