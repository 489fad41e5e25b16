"""Tables of texts with a separator, as DuckDB reads them, and what it would lose of them without a word."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb

from .sql import quoted

MAX_LINE_BYTES = 1 << 24
LONG_LINES = f"max_line_size={MAX_LINE_BYTES}, buffer_size={2 * MAX_LINE_BYTES}"  # DuckDB would take 16 times as much
NUMBERS = ("BIGINT", "DOUBLE")  # as DuckDB finds them


class Csv(NamedTuple):
    """An opened table."""

    rows: str  # what stands after FROM
    columns: list[str]  # in the table's own names
    urls: str | None  # of a table without a header line: the column that holds urls
    odd: dict[str, int]  # columns of numbers -> how many cells are none, and so NULL


def open_csv(
    database: duckdb.DuckDBPyConnection,
    listed: str,
    kind: str,
    options: str,
    as_text: Sequence[str],
    *,
    only_head: bool,
) -> Csv:
    """Open texts with a separator. CC3M and CC12M are published without a header line: a url stands in the first."""
    options += f", {LONG_LINES}"  # a url may be a whole picture: data:image/png;base64,...
    if kind == "tsv":
        options += ", delim='\t'"
    sniffing = f"header=false, all_varchar=true, {_unkept(options)}"
    try:
        first = database.sql(f"SELECT * FROM read_csv([{listed}], {sniffing}) LIMIT 1").to_arrow_table().to_pylist()
    except duckdb.InvalidInputException:  # line ends of two kinds, say
        options += ", strict_mode=false"
        sniffing += ", strict_mode=false"
        first = database.sql(f"SELECT * FROM read_csv([{listed}], {sniffing}) LIMIT 1").to_arrow_table().to_pylist()
    with_url = [name for row in first for name, cell in row.items() if _is_url(cell)]
    if with_url:
        unquoted = ", quote='', escape=''" if kind == "tsv" else ""  # quotes of captions, of one that has no pair, too
        query = f"read_csv([{listed}], header=false{unquoted}, {options}"
    else:
        query = f"read_csv([{listed}], header=true, {options}"
    head = database.sql(f"SELECT * FROM {query}) LIMIT 0")
    wanted = {name.lower() for name in as_text}
    types = {name: "VARCHAR" for name in head.columns if name.lower() in wanted}
    numbers = {
        name: str(kind)
        for name, kind in zip(head.columns, head.types, strict=True)
        if str(kind) in NUMBERS and name not in types
    }
    rows, odd = f"{_typed(query, types)})", dict[str, int]()
    if numbers and not only_head:
        rows, odd = _with_numbers(database, query, types, numbers)
    return Csv(rows, head.columns, with_url[0] if with_url else None, odd)


def _with_numbers(
    database: duckdb.DuckDBPyConnection, query: str, types: Mapping[str, str], numbers: Mapping[str, str]
) -> tuple[str, dict[str, int]]:
    """Return the query of all rows with some columns as numbers, and how many cells of each are none: NULL.

    DuckDB decides by the first rows. Further down it would round 0.3 in a column of integers to 0, and refuse the whole
    row where a score is "n/a".
    """
    texts = f"{_typed(query, {**types, **dict.fromkeys(numbers, 'VARCHAR')})})"
    tests = []
    for name in map(quoted, numbers):
        number = f"try_cast({name} AS DOUBLE)"
        tests.append(f"bool_or({number} IS DISTINCT FROM try_cast({name} AS BIGINT))")
        tests.append(f"count_if({name} IS NOT NULL AND {number} IS NULL)")
    (found,) = database.sql(f"SELECT {', '.join(tests)} FROM {_unkept(texts)}").fetchall()
    odd = {name: count for name, count in zip(numbers, found[1::2], strict=True) if count}
    kinds = ["DOUBLE" if is_other else kind for kind, is_other in zip(numbers.values(), found[::2], strict=True)]
    # Without `concat` DuckDB has the reader cast, which then refuses the row.
    casts = [f"try_cast(concat({quoted(n)}) AS {kind}) AS {quoted(n)}" for n, kind in zip(numbers, kinds, strict=True)]
    return f"(SELECT * REPLACE ({', '.join(casts)}) FROM {texts})", odd


def _unkept(query: str) -> str:
    """Return a call of read_csv that keeps nothing of what it refuses."""
    return query.replace("store_rejects", "ignore_errors")


def _typed(query: str, types: Mapping[str, str]) -> str:
    """Return a call of read_csv, not closed yet, that reads some columns as said."""
    given = [f"{quoted(name, mark=chr(39))}: '{kind}'" for name, kind in types.items()]
    return f"{query}, types={{{', '.join(given)}}}" if given else query


def _is_url(cell: object) -> bool:
    return isinstance(cell, str) and cell.lower().startswith(("http://", "https://"))
