"""What another run over the same pairs keeps and loses: another policy, another version of Corgi, another year.

A pair is the same where its key is: a hash of url and caption.
"""

from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from configs import UserError
from storage.plan import shards_of
from storage.shard import KEEP
from storage.typed import typed

from .pairs_at import EXAMPLES, Place, pairs_at

KEPT = "kept"
NOT_THERE = "not there"  # of a pair that the other run has no judgement of: not planned, or not stored
MEMORY = "2GB"


class Diff(NamedTuple):
    """Two runs, pair by pair."""

    fates: dict[tuple[str, str], int]  # what became of a pair in A and in B -> pairs; kept, or the first failed rule
    examples: dict[tuple[str, str], list[dict[str, Any]]]  # of pairs that only one of them keeps

    @property
    def only_a(self) -> int:
        """Return how many pairs A keeps and B does not."""
        return sum(count for (a, b), count in self.fates.items() if a == KEPT != b)

    @property
    def only_b(self) -> int:
        """Return how many pairs B keeps and A does not."""
        return sum(count for (a, b), count in self.fates.items() if b == KEPT != a)

    @property
    def of_neither(self) -> int:
        """Return how many pairs none of them keeps."""
        return sum(count for fates, count in self.fates.items() if KEPT not in fates)


def diff(run_a: Path, run_b: Path) -> Diff:
    """Compare the keep-lists of two runs. Raises UserError where one has none."""
    with duckdb.connect(config={"memory_limit": MEMORY, "preserve_insertion_order": "false"}) as database:
        for name, run in (("a", run_a), ("b", run_b)):
            database.execute(f"CREATE TABLE {name} AS {_FATES}", [_keep_lists(run)])
        joined = (
            f"SELECT coalesce(a.fate, '{NOT_THERE}') AS fate_a, coalesce(b.fate, '{NOT_THERE}') AS fate_b, key, "
            "a.shard AS shard_a, a.at AS at_a, b.shard AS shard_b, b.at AS at_b FROM a FULL JOIN b USING (key)"
        )
        pair = "{'key': key, 'sa': shard_a, 'ra': at_a, 'sb': shard_b, 'rb': at_b}"
        rows = database.execute(
            f"SELECT fate_a, fate_b, count(*), min({pair}, {EXAMPLES}) FROM ({joined}) "
            "GROUP BY ALL ORDER BY 3 DESC, 1, 2"
        ).fetchall()
    fates = {(a, b): count for a, b, count, _ in rows}
    examples = {
        (a, b): _pairs(run_a, run_b, some, fates=(a, b)) for a, b, _, some in rows if (a == KEPT) != (b == KEPT)
    }
    return Diff(fates, examples)


_FATES = """SELECT key, CASE WHEN kept THEN 'kept' ELSE failed[1] END AS fate, file_row_number::INTEGER AS at,
    regexp_extract(filename, '([0-9]+)[^/]*$', 1)::INTEGER AS shard
    FROM read_parquet(?, filename = true, file_row_number = true, hive_partitioning = false)"""


def _pairs(run_a: Path, run_b: Path, some: list[dict[str, Any]], *, fates: tuple[str, str]) -> list[dict[str, Any]]:
    """Return the pairs, out of the run that has them."""
    shown = []
    for each in some:
        run, place = (run_a, (each["sa"], each["ra"])) if each["sa"] is not None else (run_b, (each["sb"], each["rb"]))
        shown += pairs_at(run, [Place(*place, tuple(fate for fate in fates if fate not in (KEPT, NOT_THERE)))])
    return shown


def _keep_lists(run: Path) -> list[str]:
    paths = [str(shard.path(KEEP)) for shard in shards_of(run) if shard.path(KEEP).exists()]
    if not paths:
        raise UserError(f'{run} has no keep-list; run "{typed(run, "select")}" first')
    return paths
