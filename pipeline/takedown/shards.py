"""One shard without the pairs that were taken down. Whatever is done already is left as it is.

Every file is committed whole, in an order in which a kill between any two loses nothing: the new pairs are staged, the
scores are marked as made from them, the new pairs take their places, then come the files that are cheap to make anew,
and the planned pairs last. A download and scores that were fresh stay fresh: they are what those steps would make now.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from storage import keep_list, pairs, scores
from storage.atomic import read_json
from storage.pairs import Add, Outcome
from storage.shard import KEEP, PAIRS, SCORES, STATS, TAR, URLS, Shard
from storage.staging import install, settle, staged
from storage.tables import content, content_of, read_mark, read_whole, rewrite_table
from storage.takedown import TAKEN_DOWN, Tombstones, blanked, is_alive
from storage.tar import TarReader

from .find import tables_with_keys

Expected = Callable[[str | None], str]  # content of what a file is made from -> its fingerprint


def purge(shard: Shard, gone: Tombstones, *, download: Expected | None, score: Expected | None) -> int:
    """Rewrite a shard's files without the bytes of pairs that are gone; return how many files were.

    download, score: what these steps' fingerprints would be, None where a fingerprint does not depend on what changes.
    """
    settle(shard)
    urls = _planned_without(shard, gone)
    if shard.path(TAR).exists() and not shard.path(PAIRS).exists() and urls is not None:
        shard.path(TAR).unlink()  # of a download that was cut off; nothing says what is in it
    urls_content = content(shard.path(URLS)) if urls is None else content_of(urls)
    is_staged = _stage_pairs(shard, gone, urls_content, download)
    changed = is_staged + _purge_scores(shard, gone, is_staged=is_staged, score=score)
    if is_staged:
        install(shard)
    for path in tables_with_keys(shard):
        if path not in (shard.path(URLS), shard.path(PAIRS), shard.path(SCORES)):
            changed += _remove_rows(shard, path, gone)
    if urls is not None:
        rewrite_table(shard.path(URLS), urls, fingerprint=_fingerprint(shard.path(URLS)))
    return changed + (urls is not None)


def _planned_without(shard: Shard, gone: Tombstones) -> pa.Table | None:
    """Return the planned pairs, blanked where they are gone; None where nothing is to be changed."""
    if not shard.path(URLS).exists():
        return None
    table = pairs.planned(shard)
    rows = gone.mask(table["key"]) & is_alive(table)
    return blanked(table, rows) if rows.any() else None


def _stage_pairs(shard: Shard, gone: Tombstones, urls_content: str | None, download: Expected | None) -> bool:
    """Stage tar, stats and pairs without those that are gone; tell whether there were any."""
    if not shard.path(PAIRS).exists():
        return False
    table = pairs.read(shard)
    planned = table.drop_columns(pairs.COLUMNS.names)
    rows = gone.mask(table["key"]) & is_alive(planned)
    if not rows.any():
        return False
    if not shard.path(TAR).exists():
        shard.path(PAIRS).unlink()  # what the rows point at is gone; the download makes all anew
        return False
    mark = _fingerprint(shard.path(PAIRS))
    if download is not None and mark == download(content(shard.path(URLS))):
        mark = download(urls_content)
    stats, before = read_json(shard.path(STATS)) or {}, pairs.outcomes_of(table)
    with TarReader(shard.path(TAR)) as tar:

        def fill(_: list[dict[str, object]], add: Add) -> None:
            for row, outcome in enumerate(before):
                add(Outcome(status=TAKEN_DOWN) if rows[row] else pairs.with_image(outcome, tar))

        pairs.stage_shard(
            shard, blanked(planned, rows), fill, fingerprint=mark, engine=stats.get("engine", ""), earlier=stats
        )
    return True


def _purge_scores(shard: Shard, gone: Tombstones, *, is_staged: bool, score: Expected | None) -> int:
    path = shard.path(SCORES)
    if not path.exists():
        return 0
    mark = _fingerprint(path)
    before, metadata = content(shard.path(PAIRS)), dict[str, str]()
    if is_staged and score is not None and mark == score(before):
        mark = score(content(staged(shard, PAIRS)))
    if is_staged and scores.made_of(shard, before):
        metadata = {scores.OF_PAIRS: content(staged(shard, PAIRS)) or ""}
    table = read_whole(path)
    rows = gone.mask(table["key"])
    if rows.any() or mark != _fingerprint(path):
        rewrite_table(path, table.filter(pa.array(~rows)), fingerprint=mark, metadata=metadata)
    return int(rows.any())


def _remove_rows(shard: Shard, path: Path, gone: Tombstones) -> int:
    """Rewrite a file that later steps made without the rows that are gone. It keeps its fingerprint, so it is stale."""
    table = read_whole(path)
    rows = gone.mask(table["key"]) if "key" in table.column_names else np.zeros(len(table), bool)
    if not rows.any():
        return 0
    if path == shard.path(KEEP):
        keep_list.remove(shard, rows)
    else:
        rewrite_table(path, table.filter(pa.array(~rows)), fingerprint=_fingerprint(path))
    return 1


def _fingerprint(path: Path) -> str:
    mark = read_mark(path)
    return mark.fingerprint if mark is not None else ""
