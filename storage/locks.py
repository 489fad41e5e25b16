"""Locks that go with their process: one writer of a thing at a time."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from configs import UserError

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # a file system without locks


@contextmanager
def locked(path: Path, *, busy: str) -> Iterator[None]:
    """Hold the lock file `path`. Raises UserError with the line `busy` where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)  # a lock that is only a file would outlive a killed process
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(busy, exit_code=1) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:  # else there is nothing to rely on, and nothing lost
            raise
    try:
        yield
    finally:
        lock.release()
