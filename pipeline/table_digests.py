"""What tells a table from another one, so that a plan is made anew where its tables have changed.

Of a file on this machine it is the sha256. What is elsewhere is told apart by what its server says of it (an ETag, or a
size and a time), so that no table is read only to be recognised.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from storage.atomic import commit_json, read_json, sha256_cached

from .table_files import TableFile, told_of

# What servers call a digest of a file, or the time of its last change.
CONTENT_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "blob_id")
CHANGE_MARKS = ("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created")
DIGESTS = "table.digests.json"  # path -> [bytes, ns of the last change, sha256]
BLOCK = 1 << 20


def digests(files: Sequence[TableFile], run: Path) -> list[str]:
    """Return the digest of each file; a local one that did not change since `keep_digests` is not read again."""
    known = read_json(run / DIGESTS) or {}
    return [_digest(file, known.get(file.name)) for file in files]


def keep_digests(files: Sequence[TableFile], run: Path) -> None:
    """Write down the digests of local files, of which there may be hundreds of gigabytes."""
    by_file = zip(files, digests(files, run), strict=True)
    commit_json(run / DIGESTS, {file.name: [*_looks(file), digest] for file, digest in by_file if file.is_local})


def _digest(file: TableFile, known: list[object] | None) -> str:
    if not file.is_local:
        return _remote_digest(file)
    if known is not None and known[:2] == _looks(file):
        return str(known[2])
    return sha256_cached(Path(file.path))


def _remote_digest(file: TableFile) -> str:
    """Return what the server says of the file, or where it says nothing that changes with it, the sha256 of all of it.

    A listing may say less than a look at the file itself.
    """
    with told_of(file.name):
        for info in (file.info, file.filesystem.info(file.path)):
            for marks in (CONTENT_MARKS, CHANGE_MARKS):
                if mark := next((f"{name}={info[name]}" for name in marks if info.get(name)), None):
                    return f"{file.name} {info.get('size')} {mark}"
        with file.filesystem.open(file.path, "rb") as opened:
            digest = hashlib.sha256()
            while block := opened.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()


def _looks(file: TableFile) -> list[int]:
    stat = Path(file.path).stat()
    return [stat.st_size, stat.st_mtime_ns]
