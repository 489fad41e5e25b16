"""A list of what is to be taken down: a text file, a line each; lines that begin with # are comments.

https://example.org/cat.jpg      pairs of this url, also where a redirect led to it
host:example.org                 pairs of this host and of those below it; example.org alone means the same
<64 hex digits>                  pairs whose image has this sha256, as it was fetched or as it is stored
pdq:<64 hex digits>              pairs whose image is this one to the eye, by PDQ (filters/pdq.py)
key:41c5d075dd...                the pair with this key; the whole key alone means the same
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError, shortened

PDQ_DISTANCE = 31  # of 256 bits: up to here the authors of PDQ call two images the same
PDQ_BYTES = 32
URL_COLUMNS = ("url", "final_url")
HASH_COLUMNS = ("stored_sha256", "fetched_sha256", "sha256")  # the last one is the url table's own
KINDS = ("url", "host", "sha256", "pdq", "key")
HOST = re.compile(r"([a-z0-9_-]+\.)+[a-z0-9-]+")
HEX = re.compile(r"[0-9a-f]{64}")


class Line(NamedTuple):
    """One line of a list."""

    number: int  # from 1
    kind: str  # of KINDS
    value: str


def read_list(path: Path) -> list[Line]:
    """Return the lines of a list. Raises UserError for one that means nothing, and where there is no line."""
    try:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    numbered = ((number, text.strip()) for number, text in enumerate(texts, 1))
    lines = [_parsed(path, number, text) for number, text in numbered if text and not text.startswith("#")]
    if not lines:
        raise UserError(f"{path} names nothing to take down")
    return lines


def _parsed(path: Path, number: int, text: str) -> Line:
    kind, _, value = text.partition(":")
    value = value.strip()
    if "://" in text:
        return Line(number, "url", text)
    if kind == "host" and HOST.fullmatch(value.lower()):
        return Line(number, "host", value.lower())
    if kind in ("sha256", "pdq") and HEX.fullmatch(value.lower()):
        return Line(number, kind, value.lower())
    if kind == "key" and value:
        return Line(number, "key", value)
    if HEX.fullmatch(text.lower()):
        return Line(number, "sha256", text.lower())
    if HOST.fullmatch(text.lower()):  # no key has a dot
        return Line(number, "host", text.lower())
    if re.fullmatch(r"[\w%~-]+", text):
        return Line(number, "key", text)
    raise UserError(
        f"{path}, line {number}: {shortened(text, 80)!r} is no url, host:<name>, sha256 of 64 hex digits, pdq:<hash> "
        "or key:<key>"
    )


class Wanted:
    """The lines of a list, to be looked for in tables."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = {kind: [line for line in lines if line.kind == kind] for kind in KINDS}

    def rows(self, table: pa.Table) -> Iterator[tuple[int, Line]]:
        """Yield (row, line) for each row that a line means; a row may come twice. Looks at the columns there are."""
        for column, kind in [
            *((name, "url") for name in URL_COLUMNS),
            *((name, "sha256") for name in HASH_COLUMNS),
            ("key", "key"),
        ]:
            if column in table.column_names and pa.types.is_string(table[column].type):
                yield from self._equal(table[column], kind)
        for column in URL_COLUMNS:
            if column in table.column_names and self._lines["host"]:
                yield from _each(table[column], self._hosts_of)
        if "pdq" in table.column_names and self._lines["pdq"]:
            yield from self._near(table["pdq"])

    def _equal(self, column: pa.ChunkedArray, kind: str) -> Iterator[tuple[int, Line]]:
        if not self._lines[kind]:
            return
        by_value = {line.value: line for line in reversed(self._lines[kind])}
        texts = pc.utf8_lower(column) if kind == "sha256" else column
        rows = pc.indices_nonzero(pc.is_in(texts, value_set=pa.array(list(by_value), pa.string()))).to_pylist()
        yield from ((row, by_value[texts[row].as_py()]) for row in rows)

    def _hosts_of(self, url: str) -> Iterator[Line]:
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:  # no url at all
            return
        yield from (line for line in self._lines["host"] if f".{host}".endswith(f".{line.value}"))

    def _near(self, column: pa.ChunkedArray) -> Iterator[tuple[int, Line]]:
        values = [value or bytes(PDQ_BYTES) for value in column.to_pylist()]
        hashes = np.frombuffer(b"".join(values), np.uint64).reshape(len(values), PDQ_BYTES // 8)
        has_hash = column.is_valid().to_numpy()
        for line in self._lines["pdq"]:
            distances = np.bitwise_count(hashes ^ np.frombuffer(bytes.fromhex(line.value), np.uint64)).sum(1)
            yield from ((row, line) for row in np.flatnonzero((distances <= PDQ_DISTANCE) & has_hash).tolist())


def _each(column: pa.ChunkedArray, lines_of: Callable[[str], Iterator[Line]]) -> Iterator[tuple[int, Line]]:
    for row, url in enumerate(column.to_pylist()):
        if url:
            yield from ((row, line) for line in lines_of(url))
