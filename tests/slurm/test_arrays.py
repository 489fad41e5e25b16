"""Which tasks an array has, and how it is split where the cluster takes no larger one."""

import pytest

from slurm.arrays import Part, listed, parts_of, ranks_of, size_of, unlisted


@pytest.mark.parametrize(
    ("indices", "text"),
    [([0], "0"), ([0, 1], "0-1"), (range(64), "0-63"), ([3, 17], "3,17"), ([0, 1, 2, 5, 7, 8], "0-2,5,7-8")],
)
def test_indices_are_listed_as_array_takes_them(indices, text):
    assert listed(list(indices)) == text
    assert unlisted(text) == list(indices)


@pytest.mark.parametrize(
    ("asked", "shards", "size"), [(64, None, 64), (None, None, 1), (64, 16, 16), (64, 0, 1), (None, 41_300, 1291)]
)
def test_a_step_has_no_more_tasks_than_shards(asked, shards, size):
    assert size_of(asked, shards) == size


def test_only_ranks_with_a_shard_to_make_have_a_task():
    assert ranks_of(4, None) == [0, 1, 2, 3]
    assert ranks_of(4, [3, 7, 9]) == [1, 3]
    assert ranks_of(4, []) == []


def test_a_large_array_is_split_and_every_rank_is_in_one_part():
    parts = parts_of(range(2000), limit=1001, at_once=65)
    assert [(part.offset, len(part.indices), part.at_once) for part in parts] == [(0, 1001, 33), (1001, 999, 32)]
    assert [part.offset + index for part in parts for index in part.indices] == list(range(2000))
    assert max(index for part in parts for index in part.indices) == 1000
    assert parts_of([5, 1003], limit=1001) == [Part((5,), 0), Part((2,), 1001)]
    assert {part.at_once for part in parts_of(range(30), limit=10, at_once=1)} == {1}  # none of 0, which SLURM refuses
