"""How each kind of table becomes a relation of DuckDB, read as a stream and in the order of its rows.

Parquet and Arrow files come as batches (arrow_batches). Text files are read by DuckDB, from this machine: those of
elsewhere are copied to a scratch folder first, or, where only the columns are asked for, their first lines are.
"""

import codecs
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from configs import UserError

from .arrow_batches import BINARY, ENCODED, count_rows, open_batches, seen_by_arrow
from .csv_tables import LONG_LINES, open_csv
from .json_tables import as_lines
from .sql import quoted
from .table_files import COMPRESSIONS, TableFile, told_of

SAMPLE_ROWS = 20_480  # of JSON lines, to learn their columns; as many as DuckDB looks at
ROW_BYTES = 200  # of a line, to guess how many there are
PACKED = 4  # times as long is a text that was compressed, to guess likewise
HEAD_BYTES = 4 << 20  # of a text from elsewhere, to learn its columns
LINE = "corgi_line"  # what a line says that could not be read
# One column of whole lines; what is no line in UTF-8 is refused.
LINES = f"""columns={{'{LINE}': 'VARCHAR'}}, delim='\x01', quote='', escape='', header=false, auto_detect=false,
    strict_mode=false, {LONG_LINES}"""
REJECTED = "SELECT file_id, line, any_value(csv_line) AS text FROM reject_errors GROUP BY file_id, line"


class Reader(NamedTuple):
    """An opened table."""

    query: str  # what stands after FROM
    columns: list[str]  # in the table's own names
    encoded: set[str] = set()  # those that are text, as its bytes
    binary: set[str] = set()  # those that may be text, as its bytes
    urls: str | None = None  # of a table without a header line: the column that holds urls
    is_lines: bool = False  # whether there is a column LINE more
    rejected: str | None = None  # file_id, line and text of what was refused; complete once `query` has run
    odd: Mapping[str, int] = MappingProxyType({})  # columns of numbers -> how many cells are none, and so NULL

    def notes(self, columns: Iterable[str]) -> list[str]:
        """Return a sentence on each of these columns that has cells which are no numbers."""
        told = [(name, self.odd[name]) for name in columns if name in self.odd]
        return [f"{count:,} cells of {name!r} are no numbers: they are NULL" for name, count in told]


def open_tables(
    database: duckdb.DuckDBPyConnection,
    files: Sequence[TableFile],
    scratch: Path,
    *,
    name: str = "tables",
    only_head: bool = False,
    keep_rejected: bool = True,
    as_text: Sequence[str] = (),
) -> Reader:
    """Open files of one kind in a database. name: of what is registered there; scratch: a folder for copies.

    only_head: columns will be asked for and no row. as_text: columns whose digits are no number, as 1e3. Raises
    UserError, and later duckdb.Error.
    """
    kind = files[0].kind
    if kind in ("parquet", "arrow"):
        schema, batches = open_batches(files)
        encoded, binary = ({each.name for each in schema if each.type == kind} for kind in (ENCODED, BINARY))
        database.register(name, pa.RecordBatchReader.from_batches(schema, batches))
        return Reader(name, schema.names, encoded, binary)
    scratch = scratch / name
    paths = [_local(file, scratch / f"{n:05d}", only_head) for n, file in enumerate(files[:1] if only_head else files)]
    for file, path in zip(files, paths, strict=False):
        _refuse_utf_16(file, path)
    listed = ", ".join(quoted(str(path), mark="'") for path in paths)
    options = f"hive_partitioning=false, {'store_rejects' if keep_rejected else 'ignore_errors'}=true"
    if kind in ("csv", "tsv"):
        separated = open_csv(database, listed, kind, options, as_text, only_head=only_head)
        reader = Reader(separated.rows, separated.columns, urls=separated.urls, rejected=REJECTED, odd=separated.odd)
    else:
        reader = _open_lines(database, listed, scratch, options, only_head=only_head)
    return reader if keep_rejected else reader._replace(rejected=None)


def lines_of(file: TableFile, scratch: Path) -> str:
    """Return the query of a text's lines, one column LINE. What is not UTF-8 is an error."""
    path = _local(file, scratch / hashlib.sha256(file.name.encode()).hexdigest()[:16], only_head=False)
    return f"SELECT {LINE} FROM read_csv({quoted(str(path), mark=chr(39))}, {LINES})"


def size_of(files: Sequence[TableFile]) -> int:
    """Return about how many rows the files have, at least 1. Of parquet exactly, from the footers."""
    if files[0].kind == "parquet":
        return max(1, count_rows(files))
    lengths = (
        (file.info.get("size") or 0) * (PACKED if file.suffix.endswith(tuple(COMPRESSIONS)) else 1) for file in files
    )
    return max(1, sum(lengths) // ROW_BYTES)


def _refuse_utf_16(file: TableFile, path: Path) -> None:
    """Raise UserError of a text that begins as spreadsheets begin theirs: no row of it could be read."""
    with told_of(file.name), path.open("rb") as opened:
        if opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise UserError(f"{file.name} is UTF-16, and a table is UTF-8: iconv -f UTF-16 -t UTF-8")


def _open_lines(
    database: duckdb.DuckDBPyConnection, listed: str, scratch: Path, options: str, *, only_head: bool
) -> Reader:
    """Open JSON lines. They are read as text first, so that a line that is no object keeps what it says."""
    # A byte order mark is no part of the first line; an empty line is no row.
    lines = f"SELECT ltrim({LINE}, chr(65279)) AS {LINE} FROM read_csv([{listed}], {LINES}, {options})"
    lines = f"SELECT {LINE} FROM ({lines}) WHERE trim({LINE}) <> ''"
    sniffed = _sniffed(database, listed)
    if sniffed.columns == ["json"]:  # some of its first lines are no objects: these are left out
        head = f"SELECT {LINE} FROM ({lines}) WHERE try(json_type({LINE})) = 'OBJECT' LIMIT {SAMPLE_ROWS}"
        rows = database.sql(head.replace("store_rejects", "ignore_errors")).fetchall()
        path = scratch / "head.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for (line,) in rows), encoding="utf-8")
        sniffed = _sniffed(database, quoted(str(path), mark="'"))
    columns = dict(zip(sniffed.columns, sniffed.types, strict=True))
    if not only_head:
        columns |= _wider(columns, _sniffed(database, listed, sample=-1))
    structure = quoted(json.dumps({n: _structure(k) for n, k in columns.items()}, ensure_ascii=False), mark="'")
    parsed = f"SELECT unnest(try(from_json({LINE}, {structure}))), {LINE} FROM ({lines})"
    return Reader(f"({parsed})", [*columns], is_lines=True, rejected=REJECTED)


def _sniffed(database: duckdb.DuckDBPyConnection, listed: str, sample: int = SAMPLE_ROWS) -> duckdb.DuckDBPyRelation:
    """Return JSON lines with the columns that the first of them have. sample: how many; -1: all."""
    options = "format='newline_delimited', ignore_errors=true, hive_partitioning=false"
    return database.sql(f"SELECT * FROM read_json([{listed}], {options}, sample_size={sample})")


def _wider(columns: Mapping[str, Any], by_all: duckdb.DuckDBPyRelation) -> dict[str, Any]:
    """Return the types by all lines, which know more than the first: a fraction, a value after many NULLs, a key.

    Where a line has an odd value there is no such type, and that of the first lines stands.
    """
    if by_all.columns == ["json"]:  # a line is no object
        return {}
    types = dict(zip(by_all.columns, by_all.types, strict=True))
    return {n: kind for n, kind in types.items() if kind != "JSON" or columns.get(n, '"NULL"') == '"NULL"'}


def _structure(kind: Any) -> Any:
    """Return a type as from_json reads it."""
    if kind.id == "struct":
        return {name: _structure(inner) for name, inner in kind.children}
    if kind.id == "list":
        return [_structure(kind.children[0][1])]
    return str(kind)


def _local(file: TableFile, copy: Path, only_head: bool) -> Path:
    """Return where a text lies on this machine, as a copy whose name begins with `copy` where it must be one."""
    if file.is_local and file.kind != "json":
        return Path(file.path)
    copy.parent.mkdir(parents=True, exist_ok=True)
    if file.kind == "json":
        return as_lines(file, copy.with_suffix(".jsonl"))
    with told_of(file.name), file.filesystem.open(file.path, "rb") as source:
        if only_head:
            path = copy.with_suffix(f".{file.kind}")
            path.write_bytes(_first_lines(file, source))
            return path
        path = copy.with_suffix(file.suffix)
        with path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        return path


def _first_lines(file: TableFile, source: Any) -> bytes:
    """Return the first lines of a text, at least one, without what compressed it."""
    compression = next((name for end, name in COMPRESSIONS.items() if file.suffix.endswith(end)), None)
    stream = pa.CompressedInputStream(seen_by_arrow(source), compression) if compression else source
    head = bytes(stream.read(HEAD_BYTES))
    whole = head[: head.rfind(b"\n") + 1]
    return whole or head
