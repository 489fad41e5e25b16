"""Copies: equal and near, part by part; against plain loops over everything."""

import numpy as np
import pytest

from filters import hamming
from filters.duplicates import connected, digests, equal_copies, near_links, part_of
from filters.hamming import BYTES, WIDTHS, close_pairs, join, masks_by_part, plan


def copies(values: list[str], *, keep: int = 1) -> dict[int, int]:
    ids, keepers = equal_copies(digests(values), np.arange(len(values)) * 10, keep=keep)
    return dict(zip(ids.tolist(), keepers.tolist(), strict=True))


def test_of_equal_ones_the_smallest_ids_stay():
    assert copies(["x", "y", "x", "x", "y", "z"]) == {20: 0, 30: 0, 40: 10}
    assert copies(["cat", "cat", "dog", "cat", "cat"], keep=2) == {30: 0, 40: 0}
    assert copies(["cat"] * 4, keep=4) == copies([]) == {}


def test_equal_ones_are_of_one_part_and_parts_are_alike_in_size():
    words = np.random.default_rng(0).integers(0, 2**63, (10_000, 4), dtype=np.uint64)
    words[:, 0] = 7  # images may agree in many bits
    words[5000:] = words[:5000]
    part = part_of(words, 8)
    assert (part[:5000] == part[5000:]).all()
    assert np.bincount(part, minlength=8).min() > 1000 and part.max() == 7


def flipped(hashed: np.ndarray, bits: list[int]) -> np.ndarray:
    found = np.unpackbits(hashed)
    found[bits] ^= 1
    return np.packbits(found)


def near_groups(hashes: np.ndarray, *, distance: int, part_bits: int = 0) -> np.ndarray:
    """The smallest row of each one's group, by all bands and parts. hashes: (n, 32) uint8, all different."""
    words, rows = np.ascontiguousarray(hashes).view(np.uint64), np.arange(len(hashes))
    links = [np.zeros((0, 2), np.int64)]
    for band in plan(len(hashes), distance) if distance else ():
        bits = min(part_bits, band.bits)
        part = hamming.part_of(words, band, bits)
        members = [(words[part == number], rows[part == number]) for number in range(1 << bits)]
        for number, mine in enumerate(members):
            for apart, masks in masks_by_part(band, bits).items():
                others = members[number ^ apart] if apart else None
                if number ^ apart >= number:
                    links.append(near_links(*mine, band, masks, distance=distance, others=others))
    groups = rows.copy()
    ids, keepers = connected(lambda: iter(links))
    groups[ids] = keepers
    return groups


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
    for part_bits in range(4):
        rng = np.random.default_rng([distance, part_bits])
        hashes = np.unique(crowd(rng, 150, farthest=2 * distance), axis=0)
        groups = near_groups(hashes, distance=distance, part_bits=part_bits)
        assert groups.tolist() == groups_by_hand(hashes, distance)


@pytest.mark.parametrize("part_bits", [0, 3])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("distance", [1, 5, 11, 20])  # at 31 the widest bands take thousands of lookups a hash
def test_every_cut_finds_every_close_pair(monkeypatch, width, distance, part_bits):
    monkeypatch.setattr("filters.hamming.WIDTHS", (width,))
    hashes = np.unique(crowd(np.random.default_rng([width, distance]), 120, farthest=distance + 2), axis=0)
    words, rows = hashes.view(np.uint64), np.arange(len(hashes))
    bands, found = plan(len(hashes), distance), set()
    assert sum(band.radius + 1 for band in bands) == distance + 1
    for band in bands:
        part = hamming.part_of(words, band, part_bits)
        for number, (apart, masks) in ((n, item) for n in range(8) for item in masks_by_part(band, part_bits).items()):
            mine, others = rows[part == number], rows[part == number ^ apart]
            both = np.concatenate([mine, others]) if apart else mine
            beside = words[others] if apart else None
            for i, j in close_pairs(words[mine], beside, band, masks, distance=distance):
                found |= {tuple(sorted(pair)) for pair in np.stack([both[i], both[j]], axis=1).tolist()}
    wanted = np.argwhere(np.triu(distances(hashes) <= distance, k=1))
    assert found == {(i, j) for i, j in wanted.tolist()}


def test_large_groups_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr("filters.hamming.CHUNK", 100)
    rng = np.random.default_rng(5)
    hashes = np.zeros((300, BYTES), np.uint8)
    hashes[:, -2:] = rng.integers(0, 256, (300, 2))  # equal in all bands but the last
    hashes = np.unique(hashes, axis=0)
    assert near_groups(hashes, distance=4).tolist() == groups_by_hand(hashes, 4)


def test_near_ones_are_connected():
    a = np.random.default_rng(0).integers(0, 256, BYTES, dtype=np.uint8)
    b, c = flipped(a, list(range(0, 20))), flipped(a, list(range(0, 40)))  # a - b - c, 20 bits each; a - c is 40
    assert near_groups(np.stack([c, a, b]), distance=31).tolist() == [0, 0, 0]
    assert near_groups(np.stack([c, a, b]), distance=19).tolist() == [0, 1, 2]


def test_twenty_thousand_hashes_with_planted_copies():
    rng = np.random.default_rng(7)
    hashes = rng.integers(0, 256, (20_000, BYTES), dtype=np.uint8)
    for row in range(500):
        hashes[19_000 + row] = flipped(hashes[row], list(rng.choice(256, size=1 + row % 31, replace=False)))
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


def test_a_crowd_of_any_size_is_soon_one(monkeypatch: pytest.MonkeyPatch):
    compared, distances = list[int](), hamming._distances

    def counted(words: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        compared.append(len(left))
        return distances(words, left, right)

    monkeypatch.setattr(hamming, "_distances", counted)
    words = np.zeros((1600, 4), np.uint64)
    words[:, 3] = np.arange(1600)  # at most 11 bits apart
    for size in range(514, 1600, 2):
        compared.clear()
        group = np.arange(size)
        for i, j in hamming._crowd(words, np.arange(size), 11):
            group = join(group, i, j)
        assert not group.any() and sum(compared) <= size
