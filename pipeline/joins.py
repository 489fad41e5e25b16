"""Further tables joined to the url table: scores that others published, or more captions of the same images.

A left join: no pair is lost or doubled. Both sides are spread over files by a hash of what they are joined on, and
joined file by file, so memory grows with neither.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
from pydantic import Field

from configs import Config, UserError, nearest

from .buckets import count_for, files_in, reading, spread
from .columns import is_made_here
from .sql import quoted
from .table_files import TableFile, Tables, files_of
from .table_readers import open_tables, size_of
from .url_tables import URL_NAMES, column_of, our_name, our_names, texts_of

ID = "corgi_id"  # of a joined row: what it is joined on, as text
ORDER = "corgi_position"  # of rows as they stand in their table


class JoinConfig(Config):
    """A further table, and what is taken from it."""

    paths = ("table",)

    table: Tables = Field(min_length=1, examples=[["scores.parquet"]])  # as the url table
    on: str = Field(examples=["uid"])  # url, key (Corgi's own), or a column that both tables have; compared as text
    # Its column -> the name here; null: all in their own names.
    columns: dict[str, str] | None = Field(default=None, examples=[{"clip_score": "similarity"}])


class Join(NamedTuple):
    """An opened table to join."""

    name: str  # as people know it
    files: list[TableFile]
    on: str  # the url table's column, by its name here
    rows: str  # ID and every column that is taken, as a query
    columns: list[str]  # those that are taken, by their names here
    notes: list[str]  # on their cells


def open_join(
    database: duckdb.DuckDBPyConnection,
    config: JoinConfig,
    ours: Sequence[str],
    scratch: Path,
    *,
    name: str,
    only_head: bool = False,
) -> Join:
    """Open a table to join. ours: the columns that there are already; scratch, name, only_head: as of `open_tables`.

    Raises UserError where a column is missing, or would be called like another one.
    """
    files = files_of(config.table)
    first = files[0].name
    reader = open_tables(
        database, files, scratch, name=name, only_head=only_head, keep_rejected=False, as_text=[config.on]
    )
    on = config.on.lower() if config.on.lower() in ("url", "key") else our_name(config.on)
    if on not in ours:
        raise UserError(f"plan.join: the url table has no column {config.on!r} to join on{nearest(on, ours)}")
    if on == "url":
        theirs = column_of(reader.columns, reader.urls, URL_NAMES, "url", first)
    else:
        theirs = column_of(reader.columns, config.on, (), config.on, first)
    taken = _taken(config, reader.columns, theirs, first)
    if twice := sorted(set(taken.values()) & set(ours)):
        raise UserError(f"plan.join: {first} has {twice}, which the pairs have already; say `columns` and rename them")
    texts = texts_of(reader)
    (kind,) = database.sql(f"SELECT {texts[theirs]} FROM {reader.query}").types
    selected = [f"trim({_as_id(texts[theirs], kind)}) AS {ID}"]
    selected += [f"{texts[column]} AS {quoted(ours)}" for column, ours in taken.items()]
    rows = f"SELECT {', '.join(selected)} FROM {reader.query}"
    return Join(first, files, on, rows, list(taken.values()), [f"{first}: {note}" for note in reader.notes(taken)])


def joined_schema(rows: str, join: Join) -> str:
    """Return the query of a join as a whole: for its columns, not for its rows."""
    brought = "".join(f", joined.{quoted(name)}" for name in join.columns)
    return f"SELECT pairs.*{brought} FROM ({rows}) pairs LEFT JOIN ({join.rows}) joined ON joined.{ID} = ''"


def join_out_of_core(
    database: duckdb.DuckDBPyConnection, rows: str, size: int, join: Join, scratch: Path
) -> tuple[str, list[str]]:
    """Join a table to `size` rows; return the query of all rows, and sentences on what does not go together.

    Of rows with one ID the first counts. What lies in `scratch` is read by the query that is returned.
    """
    count = count_for(max(size, size_of(join.files)))
    pairs, others, done = scratch / "pairs", scratch / "others", scratch / "joined"
    done.mkdir(parents=True)
    types = database.sql(f"SELECT * EXCLUDE ({ID}) FROM ({join.rows})").types
    nothing = [f"'' AS {ID}", f"0 AS {ORDER}"]
    nothing += [f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in zip(join.columns, types, strict=True)]
    (kind,) = database.sql(f"SELECT {quoted(join.on)} FROM ({rows})").types
    on = _as_id(quoted(join.on), kind)
    spread(database, rows, f"{_hash(on)} % {count}", pairs)
    numbered = f"SELECT *, row_number() OVER () AS {ORDER} FROM ({join.rows})"
    spread(database, f"SELECT * FROM ({numbered}) WHERE {ID} IS NOT NULL", f"{_hash(ID)} % {count}", others)
    left_out = alone = 0
    for number in range(count):
        if not (left := files_in(pairs, number)):
            continue
        right = files_in(others, number)
        table = reading(right) if right else f"(SELECT {', '.join(nothing)} LIMIT 0)"
        path = done / f"{number:06d}.parquet"
        counts = _join_bucket(database, reading(left), table, join, path, on=f"others.{ID} = {on}")
        left_out, alone = left_out + counts[0], alone + counts[1]
        for file in left + right:
            file.unlink()
    shutil.rmtree(pairs)
    notes = [*join.notes]
    if left_out:
        notes.append(f"{left_out:,} rows of {join.name} are left out: an earlier row has the same {join.on}")
    if alone:
        notes.append(f"{alone:,} rows of the url table find no {join.on} in {join.name}; its columns are NULL")
    return f"SELECT * FROM {reading(sorted(done.glob('*.parquet')))}", notes


def _join_bucket(
    database: duckdb.DuckDBPyConnection, pairs: str, others: str, join: Join, path: Path, *, on: str
) -> tuple[int, int]:
    """Join one file's rows; return how many of the table's rows were later ones of their ID, and of pairs without any.

    on: SQL of which rows go together.
    """
    first = f"SELECT * FROM {others} QUALIFY row_number() OVER (PARTITION BY {ID} ORDER BY {ORDER}) = 1"
    brought = "".join(f", others.{quoted(name)}" for name in join.columns)
    query = f"SELECT pairs.*{brought} FROM {pairs} pairs LEFT JOIN ({first}) others ON {on}"
    database.sql(f"COPY ({query}) TO {quoted(str(path), mark=chr(39))} (FORMAT parquet, ROW_GROUP_SIZE 20000)")
    later = f"SELECT count(*) - count(DISTINCT {ID}) FROM {others}"
    alone = f"SELECT count(*) FROM {pairs} pairs ANTI JOIN {others} others ON {on}"
    ((left_out, without),) = database.sql(f"SELECT ({later}), ({alone})").fetchall()
    return left_out, without


def _as_id(column: str, kind: object) -> str:
    """Return SQL of what a column is joined by, as text: 7 of a float is no 7.0, as pandas makes integers with gaps."""
    if str(kind) not in ("FLOAT", "DOUBLE"):
        return f"CAST({column} AS VARCHAR)"
    whole = f"abs({column}) < 1e15 AND {column} = trunc({column})"
    as_text = f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
    return f"CASE WHEN NOT isnan({column}) THEN {as_text} END"


def _hash(text: str) -> str:
    """Return SQL of a number that texts share only where they are equal, and NULL has one, too."""
    return f"hash(coalesce({text}, ''))"


def _taken(config: JoinConfig, columns: list[str], on: str, table: str) -> dict[str, str]:
    """Return the table's name of each column that is taken -> its name here."""
    if config.columns is None:
        return our_names([name for name in columns if name != on], table)
    for ours in config.columns.values():
        if is_made_here(ours.lower()):
            raise UserError(f"plan.join: {ours!r} is a column of ours; give {table}'s column another name")
    return {column_of(columns, name, (), name, table): ours.lower() for name, ours in config.columns.items()}
