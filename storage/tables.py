"""Parquet and Arrow tables that say what made them.

A table carries in its metadata the fingerprint of what made it and a digest of what it holds; the footer alone answers
both. The same table gives the same bytes.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError

from . import footers
from .atomic import commit, committing
from .typed import typed

FINGERPRINT, CONTENT = footers.FINGERPRINT, footers.CONTENT
AFTER_ALL = "\U0010ffff"  # the last of all characters: what begins with a key comes before the key with this
ROW_GROUP = 10_000  # rows


class Mark(NamedTuple):
    """What a finished output says of itself."""

    fingerprint: str  # of the config and inputs that made it
    content: str  # sha256 of what it holds


def write_table(path: Path, table: pa.Table, *, fingerprint: str, metadata: dict[str, str] | None = None) -> None:
    """Commit `table` as parquet with its mark. The same table gives the same bytes."""
    marked = with_mark(table, fingerprint, metadata)
    commit(path, lambda scratch: pq.write_table(marked, scratch, compression="zstd", row_group_size=ROW_GROUP))


def write_tables(path: Path, tables: Iterable[pa.Table], schema: pa.Schema, *, fingerprint: str) -> None:
    """Commit the rows of tables, one after the other, as one file with its mark; they are gone through twice.

    Only one is held at a time. Where a single table has rows, the bytes are those of `write_table`.
    """
    digests = [content_of(table) for table in tables if len(table)]
    if not digests:
        write_table(path, schema.empty_table(), fingerprint=fingerprint)
        return
    content = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    marked = schema.with_metadata({FINGERPRINT: fingerprint, CONTENT: content})
    with committing(path) as scratch, pq.ParquetWriter(scratch, marked, compression="zstd") as writer:
        for table in tables:
            if len(table):  # else it would be a row group of nothing
                writer.write_table(table.cast(marked), row_group_size=ROW_GROUP)


def with_mark(table: pa.Table, fingerprint: str, metadata: dict[str, str] | None = None) -> pa.Table:
    """Return `table` with its mark (and further metadata) in the schema."""
    metadata = metadata or {}
    return table.replace_schema_metadata({**metadata, FINGERPRINT: fingerprint, CONTENT: content_of(table, metadata)})


def content_of(table: pa.Table, metadata: dict[str, str] | None = None) -> str:
    """Return the sha256 (64 hex digits) over names, types, values and further metadata, however they lie in memory."""
    plain = table.replace_schema_metadata(None).combine_chunks()
    plain = plain.take(pa.array(range(len(plain)), pa.int64()))  # a slice has offsets, and anything lies under a null
    digest = _Digest()
    with pa.ipc.new_stream(pa.PythonFile(digest, mode="w"), plain.schema) as writer:
        writer.write_table(plain)
    digest.write(json.dumps(metadata or {}, sort_keys=True).encode())
    return digest.sha.hexdigest()


def rewrite_table(path: Path, table: pa.Table, *, fingerprint: str, metadata: dict[str, str] | None = None) -> None:
    """Commit `table` in the place of a parquet or Arrow file, with the metadata of that one but a mark of its own.

    metadata: what differs from it.
    """
    known = {name: value for name, value in read_metadata(path).items() if name not in (FINGERPRINT, CONTENT)}
    known |= metadata or {}
    if path.suffix != ".arrow":
        write_table(path, table, fingerprint=fingerprint, metadata=known)
    else:
        write_arrow(path, with_mark(_compacted(table), fingerprint, known))


def _compacted(table: pa.Table) -> pa.Table:
    """Return a table whose dictionaries hold no value that no row has."""
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table[field.name].cast(field.type.value_type).combine_chunks()
            table = table.set_column(number, field.name, plain.dictionary_encode().cast(field.type))
    return table


def write_arrow(path: Path, table: pa.Table) -> None:
    """Commit `table` as an Arrow file, to be read by memory map."""

    def save(scratch: Path) -> None:
        with pa.OSFile(str(scratch), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    commit(path, save)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the schema metadata of a parquet or Arrow file from its footer; empty where the file is absent or torn."""
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                metadata = pa.ipc.open_file(source).schema.metadata
        else:
            metadata = pq.read_schema(path).metadata
    except (FileNotFoundError, NotADirectoryError, pa.ArrowInvalid):
        return {}
    except OSError as error:
        if error.errno is not None:  # the disk's; what has no number is said of damaged bytes
            raise
        return {}
    return {key.decode(): value.decode() for key, value in (metadata or {}).items() if key != b"ARROW:schema"}


def column_names(path: Path) -> list[str]:
    """Return what the columns of a parquet file are called, from its footer. Raises FileNotFoundError."""
    return list(pq.read_schema(path).names)


def read_mark(path: str | Path) -> Mark | None:
    """Return the mark of a parquet or Arrow file; None where the file is absent, torn or carries none."""
    fingerprint, content = footers.values(path, FINGERPRINT, CONTENT)
    return None if fingerprint is None or content is None else Mark(fingerprint, content)


def content(path: str | Path) -> str | None:
    """Return the digest of what a file holds, by its mark; None where it has none."""
    mark = read_mark(path)
    return mark.content if mark else None


def read_table(path: Path, columns: list[str] | None = None, *, made_by: str) -> pa.Table:
    """Return a whole parquet file. `made_by` is the command to name when it is not there."""
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except FileNotFoundError:
        raise UserError(f'{path} is not there; run "{typed(path, made_by)}" first') from None


def read_whole(path: Path) -> pa.Table:
    """Return all of a parquet or Arrow file, in memory."""
    if path.suffix == ".arrow":
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    return pq.read_table(path, partitioning=None)


def check_rows(table: pa.Table, of: pa.Table, *, path: Path, made_by: str) -> pa.Table:
    """Return `table` if it is of the same pairs as `of`, row by row: the one way to join two files of a shard.

    Raises UserError naming the file and the command that makes it anew.
    """
    if not table["key"].equals(of["key"]):
        raise UserError(f'{path} is not of the pairs there are now; run "{typed(path, made_by)}" first')
    return table


def rows_of_key(path: Path, key: str) -> list[dict[str, Any]]:
    """Return the rows whose key starts with `key`, none where there is no file. Row groups without it are not read."""
    if not path.exists():
        return []
    return pq.read_table(path, filters=[("key", ">=", key), ("key", "<", key + AFTER_ALL)]).to_pylist()


class _Digest(io.RawIOBase):
    """A file to write to that only keeps a digest."""

    def __init__(self) -> None:
        super().__init__()
        self.sha = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha.update(data)
        return len(data)
