"""How the files of a downloaded shard change together: all new ones are whole before the first old one goes.

00042.tar.next  00042_stats.json.next  00042.parquet.next     the table is written last, and makes the new shard whole

A kill leaves the old shard or the new one: which of them, the files tell. While the old table stands, the old shard is
whole; once it is gone, all new files are there. Their names match no pattern by which others look for tars and tables.
"""

import os
from pathlib import Path

from .atomic import rename
from .shard import PAIRS, STATS, TAR, Shard

FILES = (TAR, STATS, PAIRS)  # in the order in which they take their places


def staged(shard: Shard, suffix: str) -> Path:
    """Return where a new file of the shard waits for its place. suffix: of FILES."""
    return shard.path(f"{suffix}.next")


def install(shard: Shard) -> None:
    """Put the staged files in the places of the old ones; the same call goes on where a kill cut it off.

    The old table goes first, so that no row ever points into a tar that it was not made with.
    """
    if not staged(shard, PAIRS).exists():
        return
    shard.path(PAIRS).unlink(missing_ok=True)
    for suffix in FILES:
        if os.path.lexists(staged(shard, suffix)):  # the tar may be a link
            rename(staged(shard, suffix), shard.path(suffix))


def discard(shard: Shard) -> None:
    """Remove staged files, the table first: without it they are nothing."""
    for suffix in reversed(FILES):
        staged(shard, suffix).unlink(missing_ok=True)


def settle(shard: Shard) -> None:
    """Bring a shard in order after a kill: the new one where the old table is gone, else the old one."""
    if staged(shard, PAIRS).exists() and not shard.path(PAIRS).exists():
        install(shard)
    else:
        discard(shard)
