"""Files that are either whole or absent: written under a scratch name, fsynced, renamed.

So the presence of a file means done. Digests of files that do not change are remembered by their size and time.
"""

import functools
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import lease

A_DAY_S = 24 * 3600


@contextmanager
def committing(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside `path`; on success its bytes are made durable and take the name `path` in one rename.

    The scratch name is this process's own and never a link. Raises UserError where the process works under a lease that
    another has taken over.
    """
    scratch = _fresh_scratch(path)
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666))
    try:
        yield scratch
        scratch.chmod(0o666 & ~_umask())  # some libraries write for their owner alone, whatever the umask says
        _fsync(scratch)
        lease.check()
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    scratch.rename(path)
    _fsync(path.parent)


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside `path` for what is needed for a while; it is gone at the end, and after a kill."""
    scratch = _fresh_scratch(path)
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _fresh_scratch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}-{threading.get_ident():x}.scratch")
    scratch.unlink(missing_ok=True)
    return scratch


def commit_link(path: Path, target: Path) -> None:
    """Commit a link to `target`, of which nothing is changed, as `path`."""
    scratch = _fresh_scratch(path)
    scratch.symlink_to(target.resolve())
    rename(scratch, path)


def rename(path: Path, to: Path) -> None:
    """Give a finished file another name, durably. Raises UserError where the process's lease has been taken over."""
    lease.check()
    path.rename(to)
    _fsync(to.parent)


def remove_left_over(folder: Path) -> None:
    """Remove scratch files of processes that are gone: of this host where they are dead, of other hosts after a day."""
    for scratch in folder.glob(".*.scratch"):
        if scratch.is_dir():  # of a step that clears it away itself
            continue
        _, is_ours, rest = scratch.name.rpartition(f".{socket.gethostname()}-")
        with suppress(FileNotFoundError):
            if not lease.started(int(rest.partition("-")[0])) if is_ours else _age_s(scratch) > A_DAY_S:
                scratch.unlink()


def commit(path: Path, write: Callable[[Path], Any]) -> None:
    """Run `write(scratch)` and commit what it wrote as `path`."""
    with committing(path) as scratch:
        write(scratch)


def commit_bytes(path: Path, data: bytes) -> None:
    """Commit `data` as `path`."""
    commit(path, lambda scratch: scratch.write_bytes(data))


def commit_text(path: Path, text: str) -> None:
    """Commit `text` as `path`, in UTF-8."""
    commit_bytes(path, text.encode())


def commit_json(path: Path, value: Any) -> None:
    """Commit `value` as JSON, keys sorted, so that equal values are equal bytes."""
    commit_bytes(path, (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the value of a JSON file, or None where the file is absent."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_cached(path: Path) -> str:
    """Return `sha256_file`, computed once in this process for as long as size and time of change stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    return sha256_file(path)


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


@functools.cache
def _umask() -> int:
    mask = os.umask(0)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
