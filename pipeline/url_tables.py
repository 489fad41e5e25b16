"""The url tables as a source for DuckDB. What they are called and say is a stranger's: names are quoted, or changed.

A further column that is called like one of ours, as LAION's `language` or DataComp's `original_width`, is called
`table_language` from here on. A cell that is no text, or a line that is no row, makes its row unreadable and stops no
plan.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.dataset

from configs import UserError, nearest
from filters.expression import first_line
from storage.atomic import commit_json, read_json, sha256_cached

from .columns import is_made_here

READERS = {
    ".parquet": "",  # by Arrow, see below
    ".csv": "read_csv([{}], store_rejects=true, hive_partitioning=false)",
    ".jsonl": "read_json([{}], format='newline_delimited', ignore_errors=true, hive_partitioning=false)",
}
URL_NAMES = ("url", "image_url", "img_url", "imageurl")  # in this order; case is ignored
CAPTION_NAMES = ("caption", "text", "alt_text", "caption_alt_text_description", "caption_reference_description")
RENAMED = "table_"  # before the name of a further column that is called like one of ours
DIGESTS = "table.digests.json"  # path -> [bytes, ns of the last change, sha256]
ENCODED = pa.large_binary()
ROW_BYTES = 200  # of a line, to guess how many there are
BATCH = 16_384  # rows that are read at a time
REJECTED = """
    SELECT '' AS url, any_value(csv_line) AS caption, true AS corgi_unreadable
    FROM reject_errors GROUP BY file_id, line ORDER BY file_id, line
"""


class Source(NamedTuple):
    """All rows of the tables, as queries."""

    rows: str  # url, caption, every further column, and corgi_unreadable
    size: int  # about how many rows these are, at least 1
    rejected: str | None  # of lines that the reader refuses; complete once `rows` has run
    renamed: dict[str, str]  # the table's name -> ours, of columns that are called like one of ours


def digests(tables: list[Path], run: Path) -> list[str]:
    """Return the sha256 of each table; one that did not change since `keep_digests` is not read again."""
    known = read_json(run / DIGESTS) or {}
    return [_digest(path, known.get(str(path))) for path in tables]


def keep_digests(tables: list[Path], run: Path) -> None:
    """Write down the digests of the tables, of which there may be hundreds of gigabytes."""
    by_table = zip(tables, digests(tables, run), strict=True)
    commit_json(run / DIGESTS, {str(path): [*_looks(path), sha256] for path, sha256 in by_table})


def schema_of(tables: list[Path], *, url: str | None = None, caption: str | None = None) -> pa.Schema:
    """Return the columns of planned pairs, read from the tables' heads alone. url, caption: as of `source`."""
    for path in tables:
        _check_exists(path)
    with errors_of(tables), duckdb.connect() as database:
        rows = source(database, tables, url=url, caption=caption).rows
        columns = database.sql(f"SELECT '' AS key, * EXCLUDE (corgi_unreadable) FROM ({rows}) LIMIT 0")
        return columns.to_arrow_table().schema


@contextmanager
def errors_of(tables: list[Path]) -> Iterator[None]:
    """Tell DuckDB's errors as a person's: they speak of tables."""
    try:
        yield
    except duckdb.Error as error:
        names = ", ".join(map(str, tables))
        raise UserError(f"{names} cannot be planned: {first_line(error)}", exit_code=1) from None


def source(
    database: duckdb.DuckDBPyConnection, tables: list[Path], *, url: str | None = None, caption: str | None = None
) -> Source:
    """Open the tables in a database. url, caption: the tables' own names of these columns; None: the usual ones."""
    first, suffix = tables[0], tables[0].suffix
    if suffix not in READERS:
        raise UserError(f"{first}: a table is .parquet, .csv or .jsonl, not {suffix!r}")
    if suffix == ".parquet":
        read, columns, encoded, count = "tables", *_register(database, tables)
    else:
        read, encoded = READERS[suffix].format(", ".join(quoted(str(path), mark="'") for path in tables)), set[str]()
        columns = database.sql(f"SELECT * FROM {read} LIMIT 0").columns
        count = sum(path.stat().st_size for path in tables) // ROW_BYTES
    url = _column(columns, url, URL_NAMES, "url", first)
    caption = _column(columns, caption, CAPTION_NAMES, "caption", first)
    further = _our_names([name for name in columns if name not in (url, caption)], first)
    texts = {name: f"try(decode({quoted(name)}))" if name in encoded else quoted(name) for name in columns}
    unreadable = [f"{quoted(name)} IS NOT NULL AND {texts[name]} IS NULL" for name in columns if name in encoded]
    if suffix == ".jsonl":  # of a line that it cannot read, DuckDB makes a row of nothing
        unreadable = [" AND ".join(f"{quoted(name)} IS NULL" for name in columns)]
    selected = [
        f"coalesce(trim(CAST({texts[url]} AS VARCHAR)), '') AS url",
        f"coalesce(CAST({texts[caption]} AS VARCHAR), '') AS caption",
        *(f"{texts[name]} AS {quoted(ours)}" for name, ours in further.items()),
        f"{' OR '.join(unreadable) or 'false'} AS corgi_unreadable",
    ]
    renamed = {name: ours for name, ours in further.items() if ours != name.lower()}
    rows = f"SELECT {', '.join(selected)} FROM {read}"
    return Source(rows, max(1, count), REJECTED if suffix == ".csv" else None, renamed)


def _register(database: duckdb.DuckDBPyConnection, tables: list[Path]) -> tuple[list[str], set[str], int]:
    """Register parquet files as `tables`; return columns, which of them are text, registered as its bytes, and rows.

    DuckDB's own reader would stop at the first cell that is no UTF-8.
    """
    try:
        # Without these, whole files are held in memory.
        options = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
        kind = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=options)
        dataset = pyarrow.dataset.dataset([str(path) for path in tables], format=kind)
        scanner = dataset.scanner(batch_size=BATCH, batch_readahead=2, fragment_readahead=1)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{tables[0]} cannot be read: {' '.join(str(error).split())}") from None
    schema = pa.schema([(field.name, _bytes_for(field.type)) for field in scanner.projected_schema])
    batches = (pa.RecordBatch.from_arrays(batch.columns, batch.schema.names) for batch in scanner.to_batches())
    reader = pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
    database.register("tables", reader)
    return schema.names, {field.name for field in schema if field.type == ENCODED}, dataset.count_rows()


def _bytes_for(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column is read as: text as bytes, whoever said that they are UTF-8."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_binary(plain)
    return ENCODED if is_text else plain


def _digest(path: Path, known: list[object] | None) -> str:
    _check_exists(path)
    if known is not None and known[:2] == _looks(path):
        return str(known[2])
    return sha256_cached(path)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: no such table; `table` in the config takes parquet, csv or jsonl files")


def _looks(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _column(columns: list[str], given: str | None, usual: tuple[str, ...], what: str, table: Path) -> str:
    """Return the table's name of a column: the given one, or the first of the usual ones that is there."""
    by_lower = {name.lower(): name for name in reversed(columns)}
    for name in usual if given is None else (given.lower(),):
        if name in by_lower:
            return by_lower[name]
    raise UserError(f"{table} has no {what} column {given or ' or '.join(usual)!r}{nearest(given or what, columns)}")


def _our_names(further: list[str], table: Path) -> dict[str, str]:
    """Return the table's name of each further column -> its name from here on, in small letters."""
    names = {name: f"{RENAMED}{name.lower()}" if is_made_here(name.lower()) else name.lower() for name in further}
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        raise UserError(f"{table} has two columns that are called {twice[0]!r} here; rename one in the table")
    return names


def quoted(name: str, mark: str = '"') -> str:
    """Return a name, or with mark "'" a text, as SQL writes it."""
    return mark + name.replace(mark, 2 * mark) + mark
