"""Which pairs of a run are shown: those for which an expression holds, or those that were drawn to be labelled.

An expression passes the checker of rules, whatever it says: it sees the columns of one pair and nothing else.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from configs import UserError
from evaluation.filter_audit.sample import Drawn
from filters.rules import columns_of, holds

from ..sensitive import SensitivePairs
from .parts import OWN, Part, ShardPart, Source

PAGE = 24  # pairs at once
MOST_PARTS = 40  # looked through for one page
NOT_SHOWN = {*OWN, "tar_offset", "tar_size", "detail"}
STATES = ("all", "kept", "dropped")


class Some(NamedTuple):
    """Some of the pairs."""

    pairs: list[dict[str, Any]]
    next: int  # where the next ones begin: part * 2 ** 32 + row; -1: there is no more


class Pairs:
    """The pairs of a run, or of whatever else is looked through."""

    def __init__(self, source: Source) -> None:
        self._parts, self._sensitive = source.parts, SensitivePairs(source.rules)

    def matching(self, where: str, state: str, begin: int) -> Some:
        """Return the next pairs for which `where` holds. Raises UserError for what is no rule."""
        if state not in STATES:
            raise UserError(f"state {state!r}: give one of {', '.join(STATES)}")
        part_at, row_at = divmod(begin, 2**32)
        found: list[tuple[int, int]] = []
        for number in range(part_at, len(self._parts)):
            if number == part_at + MOST_PARTS:
                return Some(self._shown(found), number << 32)
            for row in self._rows(self._parts[number], where, state):
                if number == part_at and row < row_at:
                    continue
                if len(found) == PAGE:
                    return Some(self._shown(found), (number << 32) + row)
                found.append((number, row))
        return Some(self._shown(found), -1)

    def _rows(self, part: Part, where: str, state: str) -> list[int]:
        table = part.table()
        fits = np.ones(len(table), bool)
        if where.strip():
            columns_of([{"where": where}], table.column_names)
            fits = holds(table, {"where": where})["where"].to_numpy()
        if state != "all":
            fits = fits & (np.array([not names for names in part.failed()], bool) == (state == "kept"))
        return np.flatnonzero(fits).tolist()

    def drawn(self, sample: Sequence[Drawn]) -> list[dict[str, Any]]:
        """Return the pairs of a sample that are still where they were."""
        parts = {part.shard.number: at for at, part in enumerate(self._parts) if isinstance(part, ShardPart)}
        shown = self._shown([(parts[each.shard], each.row) for each in sample])
        return [{**pair, "rule": e.rule} for pair, e in zip(shown, sample, strict=True) if pair["key"] == e.key]

    def _shown(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Return what is told of some pairs at once; of sensitive ones neither words nor numbers."""
        rows = [(part, row, self._row(part, row)) for part, row in places]
        hateful = self._sensitive.hateful(pair["caption"] for _, _, pair in rows)
        shown = []
        for part, row, pair in rows:
            place = {"key": pair["key"], "part": part, "row": row, "failed": pair["failed"], "rule": ""}
            is_veiled = self._sensitive.covers(pair, hateful)
            shown.append({**place, "veiled": is_veiled} | ({} if is_veiled else _words(pair)))
        return shown

    def _row(self, part: int, row: int) -> dict[str, Any]:
        if not 0 <= part < len(self._parts) or not 0 <= row < len(table := self._parts[part].table()):
            raise UserError(f"there is no row {row} in part {part}")
        return {**table.slice(row, 1).to_pylist()[0], "failed": self._parts[part].failed()[row]}

    def words(self, part: int, row: int) -> dict[str, Any]:
        """Return the words and numbers of one pair, veiled or not."""
        return _words(self._row(part, row))

    def image(self, part: int, row: int) -> bytes:
        """Return the stored picture of one pair."""
        self._row(part, row)
        return self._parts[part].image(row)


def _words(pair: dict[str, Any]) -> dict[str, Any]:
    values = {
        name: value.hex() if isinstance(value, bytes) else value if isinstance(value, int | float | str) else str(value)
        for name, value in pair.items()
        if name not in NOT_SHOWN and name != "failed" and value is not None
    }
    return {"caption": pair["caption"], "url": pair["url"], "values": values}
