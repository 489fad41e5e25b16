"""Which pairs of a run are shown: those for which an expression holds, or those that were drawn to be labelled.

An expression passes the checker of rules, whatever it says: it sees the columns of one pair and nothing else.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from configs import UserError
from evaluation.filter_audit.sample import Drawn
from filters.rules import columns_of, holds
from pipeline.config import PipelineConfig
from pipeline.select import candidates_of
from storage import keep_list, pairs
from storage.duplicates import DUPLICATES
from storage.plan import shards_of
from storage.shard import KEEP, PAIRS, SCORES, TAR, Shard
from storage.tar import TarReader
from storage.typed import typed

from ..sensitive import SensitivePairs

PAGE = 24  # pairs at once
MOST_SHARDS = 40  # looked through for one page
SHOWN = ("key", "url", "caption")
NOT_SHOWN = {*SHOWN, "tar_offset", "tar_size", "detail"}
STATES = ("all", "kept", "dropped")


class Some(NamedTuple):
    """A part of the pairs."""

    pairs: list[dict[str, Any]]
    next: int  # where the next part begins: shard * 2 ** 32 + row; -1: there is no more


class Pairs:
    """The pairs of one run."""

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self._shards = [shard for shard in shards_of(config.run) if shard.path(PAIRS).exists()]
        self._sensitive = SensitivePairs(config.select.rules)
        self._table = lru_cache(maxsize=4)(_table)
        if not self._shards:
            raise UserError(f'{config.run} has no pictures; run "{typed(config.run, "download")}" first')

    def matching(self, where: str, state: str, begin: int) -> Some:
        """Return the next pairs for which `where` holds. Raises UserError for what is no rule."""
        if state not in STATES:
            raise UserError(f"state {state!r}: give one of {', '.join(STATES)}")
        shard_at, row_at = divmod(begin, 2**32)
        found: list[tuple[Shard, int]] = []
        for looked, shard in enumerate(shard for shard in self._shards if shard.number >= shard_at):
            if looked == MOST_SHARDS:
                return Some(self._shown(found), shard.number << 32)
            for row in self._rows(shard, where, state):
                if shard.number == shard_at and row < row_at:
                    continue
                if len(found) == PAGE:
                    return Some(self._shown(found), (shard.number << 32) + row)
                found.append((shard, row))
        return Some(self._shown(found), -1)

    def _rows(self, shard: Shard, where: str, state: str) -> list[int]:
        table = self._table(shard)
        fits = np.ones(len(table), bool)
        if where.strip():
            columns_of([{"where": where}], table.column_names)
            fits = holds(table, {"where": where})["where"].to_numpy()
        if state != "all":
            fits = fits & (np.array([not names for names in _failed(shard, len(table))], bool) == (state == "kept"))
        return np.flatnonzero(fits).tolist()

    def drawn(self, sample: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Return the pairs of a sample that are still where they were."""
        places = [(Shard(self.config.run, each.shard), each.row) for each in sample]
        shown = self._shown(places)
        return [{**pair, "rule": e.rule} for pair, e in zip(shown, sample, strict=True) if pair["key"] == e.key]

    def _shown(self, places: Sequence[tuple[Shard, int]]) -> list[dict[str, Any]]:
        """Return what is told of some pairs at once; of sensitive ones neither words nor numbers."""
        rows = [(shard, row, self._row(shard, row)) for shard, row in places]
        hateful = self._sensitive.hateful(pair["caption"] for _, _, pair in rows)
        shown = []
        for shard, row, pair in rows:
            place = {"key": pair["key"], "shard": shard.number, "row": row, "failed": pair["failed"], "rule": ""}
            is_veiled = self._sensitive.covers(pair, hateful)
            shown.append({**place, "veiled": is_veiled} | ({} if is_veiled else _words(pair)))
        return shown

    def _row(self, shard: Shard, row: int) -> dict[str, Any]:
        table = self._table(shard)
        if not 0 <= row < len(table):
            raise UserError(f"shard {shard} has no row {row}")
        return {**table.slice(row, 1).to_pylist()[0], "failed": _failed(shard, len(table))[row]}

    def words(self, shard: int, row: int) -> dict[str, Any]:
        """Return the words and numbers of one pair, veiled or not."""
        return _words(self._row(Shard(self.config.run, shard), row))

    def image(self, shard: int, row: int) -> bytes:
        """Return the stored JPEG of one pair."""
        place = Shard(self.config.run, shard)
        pair = self._row(place, row)
        with TarReader(place.path(TAR)) as tar:
            return tar.read(pair["tar_offset"], size=pair["tar_size"])


def _table(shard: Shard) -> pa.Table:
    """Return all columns of a shard's pairs that there are by now."""
    if not shard.path(PAIRS).exists():
        raise UserError(f"there is no shard {shard}")
    is_scored = shard.path(SCORES).exists() and (shard.run / DUPLICATES).exists()
    return candidates_of(shard) if is_scored else pairs.stored(shard)


@lru_cache(maxsize=4)
def _failed(shard: Shard, count: int) -> list[list[str]]:
    return keep_list.failed_of(shard).to_pylist() if shard.path(KEEP).exists() else [[]] * count


def _words(pair: dict[str, Any]) -> dict[str, Any]:
    values = {
        name: value.hex() if isinstance(value, bytes) else value if isinstance(value, int | float | str) else str(value)
        for name, value in pair.items()
        if name not in NOT_SHOWN and name != "failed" and value is not None
    }
    return {"caption": pair["caption"], "url": pair["url"], "values": values}
