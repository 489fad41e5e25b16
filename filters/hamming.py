"""Pairs of 256-bit hashes within a Hamming distance, without comparing all with all.

Multi-index hashing (Norouzi, Punjani, Fleet 2014). Cut the hashes into bands and give band i a radius r_i. Two hashes
that differ in more than r_i bits of every band differ in at least sum(r_i + 1) bits. So if that sum is distance + 1,
any two hashes within the distance agree in some band up to its radius: look up only those and compare them in full.
No two are missed, but where a crowd shares a band (a family of alike images) only enough pairs to connect it are told.

    256 bits |b0|b1|b2| ... |b15|      distance 15: 16 bands of 16 bits, radius 0
                                       distance 31: the same with radius 1, or wider bands, whichever costs less

Lookups grow with the number n of hashes, comparisons with its square over 2 ** bits; `plan` takes the cheapest cut.
On one core, for hashes that are spread evenly:

    n              distance 8    15        31
    10 ** 5        0.2 s         0.5 s     1.7 s       measured
    10 ** 6        3.5 s         6.5 s     66 s        measured
    10 ** 8        1 min         8 min     22 hours    by the same costs
    4 * 10 ** 8    6 min         36 min    4 days

Memory: about 250 bytes a hash, all in one process.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

BYTES = 32
CHUNK = 1 << 17  # pairs compared at a time; small enough for a cache
WIDTHS = (1, 2, 3, 4)  # bytes a band may have
LOOKUP_COST = 0.25  # of one lookup, in comparisons; measured
CROWD = 512  # hashes in one place from which not all pairs of them are compared
ROUNDS = 8  # of comparing a crowd with itself, shifted


class Band(NamedTuple):
    """Bytes [start, stop) of the hashes, looked up to `radius` differing bits."""

    start: int
    stop: int
    radius: int

    @property
    def bits(self) -> int:
        return 8 * (self.stop - self.start)


def plan(count: int, distance: int) -> list[Band]:
    """Return the cheapest cut for `count` hashes that misses no two within `distance`."""
    return min((_cut(width, distance) for width in WIDTHS), key=lambda bands: _cost(bands, count))


def _cut(width: int, distance: int) -> list[Band]:
    """Return bands of `width` bytes with sum(radius + 1) = distance + 1: no spare ones, the wide ones first."""
    starts = range(0, BYTES, width)
    each, more = divmod(distance + 1, len(starts))
    counts = [each + (number < more) for number in range(len(starts))]
    return [Band(s, min(s + width, BYTES), count - 1) for s, count in zip(starts, counts, strict=True) if count]


def _cost(bands: list[Band], count: int) -> float:
    """Return the cost in comparisons, for hashes spread evenly."""
    balls = [(band.bits, sum(comb(band.bits, flips) for flips in range(band.radius + 1))) for band in bands]
    return sum(ball * (min(count, 2**bits) * LOOKUP_COST + count**2 / 2 ** (bits + 1)) for bits, ball in balls)


def close_pairs(hashes: np.ndarray, *, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (i, j) of hashes at most `distance` bits apart, in parts; a pair may come twice.

    Of crowds not all pairs come, but the rows that all pairs would connect are connected. hashes: (n, 32) uint8, all
    different. distance: 0 to 255, meant for 0 to 31.
    """
    for band in plan(len(hashes), distance):
        values = _values(hashes, band)
        order = np.argsort(values, kind="stable")
        words = np.ascontiguousarray(hashes[order]).view(np.uint64)  # (n, 4); what is compared lies close together
        for left, right in _candidates(values[order], band):
            if left is right:
                yield from ((order[i], order[j]) for i, j in _crowd(words, left, distance))
            else:
                near = _distances(words, left, right) <= distance
                yield order[left[near]], order[right[near]]


def _distances(words: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    counts = np.bitwise_count(words.take(left, axis=0) ^ words.take(right, axis=0))
    return counts[:, 0].astype(np.uint16) + counts[:, 1] + counts[:, 2] + counts[:, 3]


def _values(hashes: np.ndarray, band: Band) -> np.ndarray:
    """Return the band's bits, (n,) uint32."""
    padded = np.zeros((len(hashes), 4), np.uint8)
    padded[:, : band.stop - band.start] = hashes[:, band.start : band.stop]
    return padded.view("<u4")[:, 0].astype(np.uint32)


def _candidates(values: np.ndarray, band: Band) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions in the sorted `values` of two that differ in at most the band's radius of bits, each once.

    Of a crowd come its positions, as both.
    """
    unique, first, counts = np.unique(values, return_index=True, return_counts=True)
    for flips in range(band.radius + 1):
        for bits in combinations(range(band.bits), flips):
            a, b = _partners(unique, np.uint32(sum(1 << bit for bit in bits)))
            is_crowd = np.sqrt(counts[a] * counts[b]) > CROWD
            for pair in zip(a[is_crowd].tolist(), b[is_crowd].tolist(), strict=True):
                crowd = np.concatenate([np.arange(first[k], first[k] + counts[k]) for k in {*pair}])
                yield crowd, crowd
            a, b = a[~is_crowd], b[~is_crowd]
            for left, right in _products(first[a], counts[a], first[b], counts[b]):
                once = left < right if not flips else slice(None)  # a group with itself holds each pair twice
                yield left[once], right[once]


def _partners(unique: np.ndarray, mask: np.uint32) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (a, b) in the sorted `unique` with unique[a] ^ mask == unique[b], each pair once."""
    if not mask:
        return np.arange(len(unique)), np.arange(len(unique))
    a = np.flatnonzero(unique < (unique ^ mask))
    partners = unique[a] ^ mask
    b = np.minimum(np.searchsorted(unique, partners), len(unique) - 1)
    there = unique[b] == partners
    return a[there], b[there]


def _products(
    first_a: np.ndarray, count_a: np.ndarray, first_b: np.ndarray, count_b: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for all k every position of range(first_a[k], +count_a[k]) with every one of b's, CHUNK pairs at a time."""
    ends = np.cumsum(count_a * count_b)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, CHUNK):
        number = np.arange(start, min(start + CHUNK, total))
        k = np.searchsorted(ends, number, side="right")
        within = number - (ends[k] - count_a[k] * count_b[k])
        yield first_a[k] + within // count_b[k], first_b[k] + within % count_b[k]


def _crowd(words: np.ndarray, crowd: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield close pairs of a crowd's positions, enough to connect what all of them would.

    Alike ones are soon one group by comparing each with a few others. Between groups all are compared but those that
    are too far from a group's first member to be close to any, and no two of one group.
    """
    group, places = np.arange(len(crowd)), np.arange(len(crowd))
    for shift in np.random.default_rng(len(crowd)).integers(1, len(crowd), ROUNDS):
        others = np.roll(places, shift)
        near = _distances(words, crowd, crowd[others]) <= distance
        yield crowd[near], crowd[others[near]]
        group = join(group, places[near], others[near])
    names, counts = np.unique(group, return_counts=True)
    alone = np.isin(group, names[counts == 1])
    for name in names[counts > 1]:
        inside, outside = crowd[group == name], crowd[group != name]
        radius = int(_distances(words, np.full(len(inside), inside[0]), inside).max())
        within_reach = outside[_distances(words, np.full(len(outside), inside[0]), outside) <= radius + distance]
        yield from _compared(words, inside, within_reach, distance)
    yield from _compared(words, crowd[alone], crowd[alone], distance)


def _compared(
    words: np.ndarray, a: np.ndarray, b: np.ndarray, distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the close ones of all pairs of a's positions with b's."""
    zero = np.zeros(1, np.int64)
    for i, j in _products(zero, zero + len(a), zero, zero + len(b)):
        near = (_distances(words, a[i], b[j]) <= distance) & (a[i] != b[j])
        yield a[i[near]], b[j[near]]


def join(group: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Join the groups of rows i and j; a group is named by its smallest row."""
    while len(apart := np.flatnonzero(group[i] != group[j])):
        a, b = group[i[apart]], group[j[apart]]
        group = group.copy()
        np.minimum.at(group, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(group, named := group[group]):
            group = named
    return group
