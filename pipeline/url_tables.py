"""The url tables as a source for DuckDB. What they are called and say is a stranger's: names are quoted, or refused."""

from pathlib import Path

import duckdb

from configs import UserError, nearest
from storage.atomic import commit_json, read_json, sha256_cached

READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json"}
URL_NAMES = ("url", "URL")
CAPTION_NAMES = ("caption", "TEXT", "text")
OURS = ("key", "url", "caption")  # and what begins with corgi_
DIGESTS = "table.digests.json"  # path -> [bytes, ns of the last change, sha256]


def digests(tables: list[Path], run: Path) -> list[str]:
    """Return the sha256 of each table; one that did not change since `keep_digests` is not read again."""
    known = read_json(run / DIGESTS) or {}
    return [_digest(path, known.get(str(path))) for path in tables]


def keep_digests(tables: list[Path], run: Path) -> None:
    """Write down the digests of the tables, of which there may be hundreds of gigabytes."""
    by_table = zip(tables, digests(tables, run), strict=True)
    commit_json(run / DIGESTS, {str(path): [*_looks(path), sha256] for path, sha256 in by_table})


def source(
    database: duckdb.DuckDBPyConnection, tables: list[Path], *, url: str | None = None, caption: str | None = None
) -> str:
    """Return a query of all tables' rows: url, caption, and every further column under its lower-cased name.

    url, caption: the tables' own names of these columns; None: the usual ones.
    """
    suffix = tables[0].suffix
    if suffix not in READERS:
        raise UserError(f"{tables[0]}: a table is .parquet, .csv or .jsonl, not {suffix!r}")
    files = ", ".join(_quoted(str(path), mark="'") for path in tables)
    read = f"{READERS[suffix]}([{files}])"
    columns = database.sql(f"SELECT * FROM {read} LIMIT 0").columns
    url = _column(columns, url, URL_NAMES, "url", tables[0])
    caption = _column(columns, caption, CAPTION_NAMES, "caption", tables[0])
    further = [name for name in columns if name not in (url, caption)]
    _check_names(further, tables[0])
    selected = [
        f"coalesce(trim(CAST({_quoted(url)} AS VARCHAR)), '') AS url",
        f"coalesce(CAST({_quoted(caption)} AS VARCHAR), '') AS caption",
        *(f"{_quoted(name)} AS {_quoted(name.lower())}" for name in further),
    ]
    return f"SELECT {', '.join(selected)} FROM {read}"


def _digest(path: Path, known: list[object] | None) -> str:
    if not path.exists():
        raise UserError(f"{path}: no such table; `table` in the config takes parquet, csv or jsonl files")
    if known is not None and known[:2] == _looks(path):
        return str(known[2])
    return sha256_cached(path)


def _looks(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _column(columns: list[str], given: str | None, usual: tuple[str, ...], what: str, table: Path) -> str:
    """Return the table's name of a column: the given one, or the first of the usual ones that is there."""
    for name in usual if given is None else (given,):
        if name in columns:
            return name
    raise UserError(f"{table} has no {what} column {given or ' or '.join(usual)!r}{nearest(given or what, columns)}")


def _check_names(further: list[str], table: Path) -> None:
    """Raise UserError where a further column would be taken for one of ours."""
    clash = [name for name in further if name.lower() in OURS or name.lower().startswith("corgi_")]
    if clash:
        raise UserError(f"{table} has columns named like our own, {clash}; rename them in the table")


def _quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, 2 * mark) + mark
