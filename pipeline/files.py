"""Files that are either whole or absent.

Every output is written under a scratch name, fsynced and renamed, so its presence means done. A table carries in its
metadata the fingerprint of what made it and a digest of what it says; the footer alone answers both.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError

FINGERPRINT = "corgi.fingerprint"
CONTENT = "corgi.content"


class Mark(NamedTuple):
    """What a finished output says of itself."""

    fingerprint: str  # of the config and inputs that made it
    content: str  # sha256 of what it holds


@contextmanager
def committing(path: Path) -> Iterator[Path]:
    """A scratch path beside `path`; on success its bytes are made durable and take the name `path` in one rename.

    The scratch name is fixed, so a rerun after a kill overwrites what the kill left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.scratch")
    try:
        yield scratch
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    _fsync(scratch)
    scratch.rename(path)
    _fsync(path.parent)


def commit(path: Path, write: Callable[[Path], Any]) -> None:
    """Runs `write(scratch)` and commits what it wrote as `path`."""
    with committing(path) as scratch:
        write(scratch)


def commit_bytes(path: Path, data: bytes) -> None:
    """Commits `data` as `path`."""
    commit(path, lambda scratch: scratch.write_bytes(data))


def commit_json(path: Path, value: Any) -> None:
    """Commits `value` as JSON, keys sorted, so that equal values are equal bytes."""
    commit_bytes(path, (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value of a JSON file, or None where the file is absent."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def write_table(path: Path, table: pa.Table, *, fingerprint: str, metadata: dict[str, str] | None = None) -> None:
    """Commits `table` as parquet with its mark. The same table gives the same bytes."""
    marked = with_mark(table, fingerprint, metadata)
    commit(path, lambda scratch: pq.write_table(marked, scratch, compression="zstd", row_group_size=10_000))


def with_mark(table: pa.Table, fingerprint: str, metadata: dict[str, str] | None = None) -> pa.Table:
    """`table` with its mark (and further metadata) in the schema."""
    metadata = metadata or {}
    return table.replace_schema_metadata({**metadata, FINGERPRINT: fingerprint, CONTENT: content_of(table, metadata)})


def content_of(table: pa.Table, metadata: dict[str, str] | None = None) -> str:
    """sha256 over names, types, values and further metadata of a table, however it is chunked. 64 hex digits."""
    plain = table.replace_schema_metadata(None).combine_chunks()
    digest = _Digest()
    with pa.ipc.new_stream(pa.PythonFile(digest, mode="w"), plain.schema) as writer:
        writer.write_table(plain)
    digest.write(json.dumps(metadata or {}, sort_keys=True).encode())
    return digest.sha.hexdigest()


def read_metadata(path: Path) -> dict[str, str]:
    """The schema metadata of a parquet or Arrow file from its footer; empty where the file is absent or torn."""
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                metadata = pa.ipc.open_file(source).schema.metadata
        else:
            metadata = pq.read_schema(path).metadata
    except (FileNotFoundError, NotADirectoryError, pa.ArrowInvalid):
        return {}
    return {key.decode(): value.decode() for key, value in (metadata or {}).items() if key != b"ARROW:schema"}


def read_mark(path: Path) -> Mark | None:
    """The mark of a parquet or Arrow file; None where the file is absent, torn or carries none."""
    metadata = read_metadata(path)
    return Mark(metadata[FINGERPRINT], metadata[CONTENT]) if FINGERPRINT in metadata else None


def read_table(path: Path, columns: list[str] | None = None, *, made_by: str) -> pa.Table:
    """A whole parquet file. `made_by` is the command to name when it is not there."""
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except FileNotFoundError:
        raise UserError(f'{path} is not there; run "corgi {made_by}" first') from None


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Digest:
    """A file to write to that only keeps a digest."""

    closed = False

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
