"""The url tables as a source for DuckDB. What they are called and say is a stranger's: names are quoted, or changed.

A further column that is called like one of ours, as LAION's `language` or DataComp's `original_width`, is called
`table_language` from here on. A cell that is no text, or a line that is no row, makes its row unreadable and stops no
plan.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from configs import UserError, nearest
from filters.expression import first_line

from .columns import OURS, is_made_here
from .sql import quoted
from .table_files import TableFile
from .table_readers import LINE, Reader, open_tables

URL_NAMES = ("url", "image_url", "img_url", "imageurl")  # in this order; case is ignored
CAPTION_NAMES = ("caption", "text", "alt_text", "caption_alt_text_description", "caption_reference_description")
LIST_NAMES = {"url": ("image_urls", "urls"), "caption": ("captions", "texts")}  # of JSON that holds lists, as SBU's
SPACES = "' ' || chr(9) || chr(10) || chr(13)"  # which browsers leave out around a url, too
NESTED = ("list", "array", "struct", "map", "union")  # types, as DuckDB says
RENAMED = "table_"  # before the name of a further column that is called like one of ours
FULL_DISK = ("No space left", "max_temp_directory_size", "failed to offload", "Disk quota exceeded")  # as DuckDB says


class Source(NamedTuple):
    """All rows of the tables, as queries."""

    rows: str  # url, caption, every further column, and corgi_unreadable
    rejected: str | None  # of lines that the reader refuses; complete once `rows` has run
    notes: list[str]  # of columns that are called like one of ours, and of numbers that are none


@contextmanager
def errors_of(files: Sequence[TableFile]) -> Iterator[None]:
    """Tell DuckDB's errors as a person's: they speak of tables, and of memory where the disk is full."""
    try:
        yield
    except duckdb.Error as error:
        if any(sign in str(error) for sign in FULL_DISK):
            raise UserError(
                "No space left on device: a plan needs about as much space in the run's folder as its tables take; "
                "mend that and run the same command again; nothing finished is lost",
                exit_code=1,
            ) from None
        names = ", ".join(file.name for file in files[:3]) + (f" and {len(files) - 3} more" if files[3:] else "")
        raise UserError(f"{names} cannot be planned: {first_line(error)}", exit_code=1) from None


def source(
    database: duckdb.DuckDBPyConnection,
    files: Sequence[TableFile],
    scratch: Path,
    *,
    url: str | None = None,
    caption: str | None = None,
    only_head: bool = False,
    as_text: Sequence[str] = (),
) -> Source:
    """Open the tables in a database. url, caption: the tables' own names of these columns; None: the usual ones.

    scratch, only_head, as_text: as of `open_tables`.
    """
    texts_too = [*as_text, *URL_NAMES, *CAPTION_NAMES, *(name for name in (url, caption) if name)]  # 01/02/2024, say
    first, reader = files[0].name, open_tables(database, files, scratch, only_head=only_head, as_text=texts_too)
    columns = reader.columns
    url = column_of(columns, url or reader.urls, (*URL_NAMES, *LIST_NAMES["url"]), "url", first)
    caption = column_of(columns, caption or _other(reader), (*CAPTION_NAMES, *LIST_NAMES["caption"]), "caption", first)
    further = our_names([name for name in columns if name not in (url, caption)], first)
    texts = texts_of(reader)
    for what, name in (("url", url), ("caption", caption)):
        texts[name] = _as_text(database, reader, name, texts[name], f"{first}: the {what} column {name!r}", what)
    must_be_text = reader.encoded | (reader.binary & {url, caption})
    unreadable = [f"{quoted(name)} IS NOT NULL AND {texts[name]} IS NULL" for name in columns if name in must_be_text]
    said = texts[caption]
    if reader.is_lines:
        unreadable = [" AND ".join(f"{quoted(name)} IS NULL" for name in columns)]
        said = f"CASE WHEN {unreadable[0]} THEN {LINE} ELSE {said} END"
    selected = [
        f"coalesce(trim({texts[url]}, {SPACES}), '') AS url",
        f"coalesce({said}, '') AS caption",
        *(f"{texts[name]} AS {quoted(ours)}" for name, ours in further.items()),
        f"{' OR '.join(unreadable) or 'false'} AS corgi_unreadable",
    ]
    notes = [
        f"the table's column {name!r} is called {ours} here: {name.lower()} is a column of ours"
        for name, ours in further.items()
        if ours != name.lower()
    ]
    notes += reader.notes(columns)
    rejected = None
    if reader.rejected:
        text = "trim(text, chr(10) || chr(13))"
        rejected = (
            f"SELECT '' AS url, {text} AS caption, true AS corgi_unreadable FROM ({reader.rejected} ORDER BY ALL)"
        )
    return Source(f"SELECT {', '.join(selected)} FROM {reader.query}", rejected, notes)


def with_captions(database: duckdb.DuckDBPyConnection, rows: str, captions: list[str]) -> str:
    """Return the query with the further captions as text, NULL where they say nothing."""
    known = database.sql(rows)
    types = {name: str(kind) for name, kind in zip(known.columns, known.types, strict=True)}
    for name in captions:
        further = [column for column in types if not column.startswith("corgi_") and column not in OURS]
        if name not in further:
            raise UserError(f"plan.captions: {name!r} is no further column{nearest(name, further)}")
        if types[name] not in ("VARCHAR", '"NULL"'):
            raise UserError(f"plan.captions: {name!r} is no text but {types[name]}")
    texts = [
        f"nullif(regexp_replace(CAST({quoted(name)} AS VARCHAR), '^\\s+$', ''), '') AS {quoted(name)}"
        for name in captions
    ]
    return f"SELECT * REPLACE ({', '.join(texts)}) FROM ({rows})" if texts else rows


def texts_of(reader: Reader) -> dict[str, str]:
    """Return the SQL of each column's value: text of columns that are its bytes, NULL where these are no UTF-8."""
    decoded = {name: f"try(decode({quoted(name)}))" for name in reader.encoded | reader.binary}
    return {name: decoded.get(name, quoted(name)) for name in reader.columns}


def _as_text(
    database: duckdb.DuckDBPyConnection, reader: Reader, name: str, value: str, told_as: str, what: str
) -> str:
    """Return the SQL of a url or caption as text. Raises UserError where the column holds lists or the like."""
    if name in reader.encoded | reader.binary:
        return value
    kind = database.sql(f"SELECT {quoted(name)} FROM {reader.query}").types[0]
    if str(kind) == "JSON":  # some of the lines hold no text here: that is no reason to lose the others
        return f"CASE WHEN json_type({value}) NOT IN ('ARRAY', 'OBJECT') THEN {value} ->> '$' END"
    if kind.id in NESTED:
        raise UserError(f"{told_as} is no text but {kind}; plan.{what} names the one to read")
    return f"CAST({value} AS VARCHAR)"


def _other(reader: Reader) -> str | None:
    """Return the column beside the urls where the table has no names for its two columns."""
    others = [name for name in reader.columns if name != reader.urls]
    return others[0] if reader.urls and len(others) == 1 else None


def column_of(columns: list[str], given: str | None, usual: tuple[str, ...], what: str, table: str) -> str:
    """Return the table's name of a column: the given one, or the first of the usual ones that is there."""
    by_lower = {name.lower(): name for name in reversed(columns)}
    for name in usual if given is None else (given.lower(),):
        if name in by_lower:
            return by_lower[name]
    raise UserError(f"{table} has no {what} column {given or ' or '.join(usual)!r}{nearest(given or what, columns)}")


def our_name(column: str) -> str:
    """Return what a further column of a table is called from here on."""
    return f"{RENAMED}{column.lower()}" if is_made_here(column.lower()) else column.lower()


def our_names(further: list[str], table: str) -> dict[str, str]:
    """Return the table's name of each further column -> its name from here on, in small letters."""
    names = {name: our_name(name) for name in further}
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        raise UserError(f"{table} has two columns that are called {twice[0]!r} here; rename one in the table")
    return names
