"""Copies: exact, near and of captions; against plain loops over everything."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest

from filters import hamming
from filters.duplicates import caption_copies, exact_copies, near_copies, near_groups
from filters.hamming import BYTES, WIDTHS, close_pairs, join, plan


def column(*chunks: Iterable[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([list(chunk) for chunk in chunks], pa.string())


def test_of_exact_copies_the_smallest_key_stays():
    keys = column("dbacef")
    assert exact_copies(keys, column(["x", "x", "y", "x", None, None])) == {"c": "b", "d": "b"}
    assert exact_copies(keys, column("xxy", "xyz")) == {"c": "b", "d": "b", "e": "a"}
    assert exact_copies(column(), column()) == {}


def test_of_a_frequent_caption_the_smallest_keys_stay():
    keys, captions = column("dbace"), column(["cat", "cat", "cat", "cat", "dog"])
    assert caption_copies(keys, captions, 2) == {"c": "a", "d": "a"}
    assert caption_copies(keys, captions, 4) == {}
    assert caption_copies(keys, captions, None) == {}


def flipped(hashed: np.ndarray, bits: list[int]) -> np.ndarray:
    found = np.unpackbits(hashed)
    found[bits] ^= 1
    return np.packbits(found)


def table(hashes, quality):
    values = pa.array([None if h is None else h.tobytes() for h in hashes], pa.binary(BYTES))
    return pa.table({"pdq": values, "pdq_quality": pa.array(quality, pa.int32())})


def test_near_copies_are_connected_and_the_smallest_key_stays():
    a = np.random.default_rng(0).integers(0, 256, BYTES, dtype=np.uint8)
    b, c = flipped(a, list(range(0, 20))), flipped(a, list(range(0, 40)))  # a - b - c, 20 bits each; a - c is 40
    keys, pairs = column(["k2", "k3", "k1"]), table([a, b, c], [100, 100, 100])
    assert near_copies(keys, pairs, distance=31, min_quality=50) == {"k2": "k1", "k3": "k1"}
    assert near_copies(keys, pairs, distance=19, min_quality=50) == {}


def test_hashes_of_low_quality_and_missing_ones_take_no_part():
    a = np.zeros(BYTES, np.uint8)
    pairs = table([a, a, a, None, None], [100, 49, 50, 100, None])
    assert near_copies(column("vwxyz"), pairs, distance=31, min_quality=50) == {"x": "v"}
    assert near_copies(column("vwxyz"), pairs, distance=0, min_quality=0) == {"w": "v", "x": "v"}
    assert near_copies(column(), pairs.slice(0, 0), distance=31, min_quality=50) == {}


def test_distances_out_of_range_are_an_error():
    with pytest.raises(ValueError, match="distance is 32"):
        near_groups(np.zeros((2, BYTES), np.uint8), distance=32)


def crowd(rng: np.random.Generator, count: int, *, farthest: int) -> np.ndarray:
    """Hashes in families: each is a fresh one or an earlier one with up to `farthest` bits flipped."""
    hashes = [rng.integers(0, 256, BYTES, dtype=np.uint8)]
    while len(hashes) < count:
        if rng.random() < 0.4:
            hashes.append(rng.integers(0, 256, BYTES, dtype=np.uint8))
        else:
            bits = rng.choice(256, size=rng.integers(0, farthest + 1), replace=False)
            hashes.append(flipped(hashes[rng.integers(len(hashes))], list(bits)))
    return np.stack(hashes)


def distances(hashes: np.ndarray) -> np.ndarray:
    bits = np.unpackbits(hashes, axis=1).astype(np.int32)
    return bits @ (1 - bits.T) + (1 - bits) @ bits.T


def groups_by_hand(hashes: np.ndarray, distance: int) -> list[int]:
    near = distances(hashes) <= distance
    group = list(range(len(hashes)))
    for start in range(len(hashes)):
        if group[start] == start:
            waiting = [start]
            while waiting:
                for other in np.flatnonzero(near[waiting.pop()]).tolist():
                    if other > start and group[other] == other:
                        group[other] = start
                        waiting.append(other)
    return group


@pytest.mark.parametrize("distance", [0, 1, 2, 7, 8, 10, 15, 16, 20, 30, 31])
def test_near_groups_equal_those_found_by_comparing_all(distance):
    for seed in range(4):
        hashes = crowd(np.random.default_rng([distance, seed]), 150, farthest=2 * distance)
        assert near_groups(hashes, distance=distance).tolist() == groups_by_hand(hashes, distance)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("distance", [0, 5, 11, 20])  # at 31 the widest bands take thousands of lookups a hash
def test_every_cut_finds_every_close_pair(monkeypatch, width, distance):
    monkeypatch.setattr("filters.hamming.WIDTHS", (width,))
    hashes = np.unique(crowd(np.random.default_rng([width, distance]), 120, farthest=distance + 2), axis=0)
    assert sum(band.radius + 1 for band in plan(len(hashes), distance)) == distance + 1
    rows = np.concatenate([np.stack(part, axis=1) for part in close_pairs(hashes, distance=distance)])
    found = {tuple(sorted(pair)) for pair in rows.tolist()}
    wanted = np.argwhere(np.triu(distances(hashes) <= distance, k=1))
    assert found == {(i, j) for i, j in wanted.tolist()}


def test_large_groups_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr("filters.hamming.CHUNK", 100)
    rng = np.random.default_rng(5)
    hashes = np.zeros((300, BYTES), np.uint8)
    hashes[:, -2:] = rng.integers(0, 256, (300, 2))  # equal in all bands but the last
    assert near_groups(hashes, distance=4).tolist() == groups_by_hand(hashes, 4)


def test_groups_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(6)
    hashes, keys = crowd(rng, 200, farthest=30), [f"{n:03d}" for n in range(200)]
    expected = near_copies(column(keys), table(hashes, [100] * 200), distance=20, min_quality=0)
    order = rng.permutation(200)
    shuffled = table(hashes[order], [100] * 200)
    assert near_copies(column(keys[n] for n in order), shuffled, distance=20, min_quality=0) == expected
    assert expected


def test_twenty_thousand_hashes_with_planted_copies():
    rng = np.random.default_rng(7)
    hashes = rng.integers(0, 256, (20_000, BYTES), dtype=np.uint8)
    for row in range(500):
        hashes[19_000 + row] = flipped(hashes[row], list(rng.choice(256, size=row % 32, replace=False)))
    groups = near_groups(hashes, distance=31)
    assert groups[19_000:19_500].tolist() == list(range(500))
    assert np.flatnonzero(groups != np.arange(20_000)).tolist() == list(range(19_000, 19_500))


@pytest.mark.parametrize("distance", [15, 31])
def test_families_are_connected_as_by_comparing_all_with_all(distance: int):
    rng = np.random.default_rng(distance)
    parts = [rng.integers(0, 256, (300, BYTES), np.uint8)]
    center = rng.integers(0, 256, BYTES, dtype=np.uint8)
    for family, farthest in ((900, 5), (700, 12), (600, 20)):  # the second and third share the bands of the first
        bits = np.zeros((family, 256), bool)
        for row in bits:
            row[rng.choice(256, rng.integers(0, farthest), replace=False)] = True
        far = np.zeros(256, bool)
        far[128 : 128 + 3 * farthest] = True
        parts.append(np.packbits(np.unpackbits(center) ^ bits ^ far, axis=1))
    hashes = np.unique(np.concatenate(parts), axis=0)
    words = hashes.view(np.uint64)
    group = np.arange(len(hashes))
    for number in range(len(hashes)):
        near = np.flatnonzero(np.bitwise_count(words[number] ^ words).sum(1) <= distance)
        group = join(group, np.full(len(near), number), near)
    assert (near_groups(hashes, distance=distance) == group).all() and len(np.unique(group)) < len(hashes) - 600


def test_a_large_family_is_not_compared_all_with_all(monkeypatch: pytest.MonkeyPatch):
    compared, distances = list[int](), hamming._distances

    def counted(words: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        compared.append(len(left))
        return distances(words, left, right)

    monkeypatch.setattr(hamming, "_distances", counted)
    rng = np.random.default_rng(0)
    family = np.zeros((20_000, 256), bool)
    family[np.arange(20_000)[:, None], rng.integers(0, 256, (20_000, 6))] = True
    hashes = np.unique(np.packbits(family, axis=1), axis=0)
    assert (near_groups(hashes, distance=15) == 0).all()
    assert sum(compared) < len(hashes) ** 2 / 10  # all pairs, in each of 16 bands, would be eighty times as many
