"""duplicates.parquet: written in parts, found by shard through its footer."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError
from storage import duplicates, tables
from storage.duplicates import DUPLICATES, SCHEMA
from storage.shard import Shard


def rows(first: int, last: int) -> pa.Table:
    """Three pairs of each shard: an exact, a near and a caption copy."""
    copies = [
        {"shard": shard, "key": f"{shard:04d}{place}", "kind": kind, "keeper": "00000"}
        for shard in range(first, last)
        for place, kind in enumerate(duplicates.KINDS)
    ]
    return pa.Table.from_pylist(copies, schema=SCHEMA)


def pairs_of(shard: int) -> pa.Table:
    return pa.table({"key": [f"{shard:04d}{place}" for place in range(5)]})


def copies_in(run: Path, shard: int) -> list[list[bool]]:
    table = duplicates.with_copies(pairs_of(shard), Shard(run, shard))
    return [table[name].to_pylist() for name in duplicates.COLUMNS]


EACH_IN_ITS_PLACE = [[place == number for place in range(5)] for number in range(3)]


def test_a_shard_finds_its_copies_in_a_file_of_many_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "ROW_GROUP", 7)  # so that shards lie across row groups, and groups hold several
    parts = [rows(0, 5), rows(5, 5), rows(5, 12), rows(20, 21)]
    duplicates.write(tmp_path, parts, fingerprint="made")
    assert pq.read_metadata(tmp_path / DUPLICATES).num_row_groups == 3 + 3 + 1
    assert pq.read_table(tmp_path / DUPLICATES).equals(pa.concat_tables(parts))
    for shard in (*range(12), 20):
        assert copies_in(tmp_path, shard) == EACH_IN_ITS_PLACE
    assert copies_in(tmp_path, 13) == copies_in(tmp_path, 21) == [[False] * 5] * 3


def test_a_file_made_anew_is_read_anew(tmp_path: Path):
    with pytest.raises(UserError, match=r'run "corgi dedup .*" first'):
        duplicates.mark(tmp_path)
    seen = set()
    for last in (1, 2, 3):
        duplicates.write(tmp_path, [rows(0, last)], fingerprint=f"made {last}")
        assert copies_in(tmp_path, last - 1) == EACH_IN_ITS_PLACE
        assert duplicates.mark(tmp_path).fingerprint == f"made {last}"
        seen.add(duplicates.mark(tmp_path).content)
    duplicates.write(tmp_path, [], fingerprint="none")
    assert copies_in(tmp_path, 0) == [[False] * 5] * 3 and len(seen) == 3


def test_one_part_has_the_bytes_of_one_table(tmp_path: Path):
    for parts in ([rows(0, 9)], [rows(0, 0), rows(0, 9)], [rows(0, 0)], []):
        duplicates.write(tmp_path, parts, fingerprint="made")
        whole = pa.concat_tables([rows(0, 0), *parts])
        tables.write_table(tmp_path / "whole.parquet", whole, fingerprint="made")
        assert (tmp_path / DUPLICATES).read_bytes() == (tmp_path / "whole.parquet").read_bytes()
