"""Pairs of 256-bit hashes within a Hamming distance, without comparing all with all.

Multi-index hashing (Norouzi, Punjani, Fleet 2014). Cut the hashes into bands and give band i a radius r_i. Two hashes
that differ in more than r_i bits of every band differ in at least sum(r_i + 1) bits. So if that sum is distance + 1,
any two hashes within the distance agree in some band up to its radius: look up only those and compare them in full.
No two are missed, but where a crowd shares a band (a family of alike images) only enough pairs to connect it are told.

    256 bits |b0|b1|b2| ... |b15|      distance 15: 16 bands of 16 bits, radius 0
                                       distance 31: the same with radius 1, or wider bands, whichever costs less

Parts of the hashes are judged one by one: a part is all that agree in the highest bits of a band. Two that agree in the
band up to its radius are of one part, or of two whose numbers differ in a few bits; those are then looked at together.

Lookups grow with the number n of hashes, comparisons with its square over 2 ** bits; `plan` takes the cheapest cut.
On one core, for hashes that are spread evenly:

    n              distance 8    15        31
    10 ** 5        0.2 s         0.3 s     1.6 s       measured
    10 ** 6        1.5 s         4.2 s     66 s        measured
    10 ** 7                      100 s                 measured, in parts
    4 * 10 ** 8    13 min        80 min    10 days     by the same costs

Memory: about 250 bytes for each hash of the two parts that are looked at.
"""

from collections.abc import Iterable, Iterator
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


def part_of(words: np.ndarray, band: Band, part_bits: int) -> np.ndarray:
    """Return which of 2 ** part_bits parts each hash belongs to, by its band's highest bits: (n,) int64.

    words: (n, 4) uint64, the hashes.
    """
    return (_values(words, band) >> (band.bits - part_bits)).astype(np.int64)


def masks_by_part(band: Band, part_bits: int) -> dict[int, list[int]]:
    """Return what two hashes that agree in the band up to its radius may differ in, by how far their parts lie apart.

    The key is the exclusive or of the numbers of their parts, the values are those of the bands.
    """
    masks: dict[int, list[int]] = {}
    for flips in range(band.radius + 1):
        for bits in combinations(range(band.bits), flips):
            mask = sum(1 << bit for bit in bits)
            masks.setdefault(mask >> (band.bits - part_bits), []).append(mask)
    return masks


def close_pairs(
    words: np.ndarray, others: np.ndarray | None, band: Band, masks: Iterable[int], *, distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (i, j) of hashes at most `distance` bits apart whose bands differ in one of the masks, some at a time.

    words, others: (n, 4) uint64, the hashes of one part, all different, and of another; rows count through both, and no
    pair within one of them comes where `others` are given. A pair may come twice. Of crowds not all pairs come, but the
    rows that all pairs would connect are connected. distance: 0 to 255, meant for 0 to 31.
    """
    order, left = _by_value(words, band)
    right = left
    if others is not None:
        other_order, right = _by_value(others, band)
        right = right._replace(first=right.first + len(words))
        order = np.concatenate([order, other_order + len(words)])
        words = np.concatenate([words, others])
    words = words[order]  # what is compared lies close together
    for a, b in _candidates(left, right, masks):
        if a is b:
            yield from ((order[i], order[j]) for i, j in _crowd(words, a, distance))
        else:
            near = _distances(words, a, b) <= distance
            yield order[a[near]], order[b[near]]


def _distances(words: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    counts = np.bitwise_count(words.take(left, axis=0) ^ words.take(right, axis=0))
    return counts[:, 0].astype(np.uint16) + counts[:, 1] + counts[:, 2] + counts[:, 3]


def _values(words: np.ndarray, band: Band) -> np.ndarray:
    """Return the band's bits, (n,) uint32."""
    padded = np.zeros((len(words), 4), np.uint8)
    hashes = np.ascontiguousarray(words).view(np.uint8)
    padded[:, : band.stop - band.start] = hashes[:, band.start : band.stop]
    return padded.view("<u4")[:, 0].astype(np.uint32)


class _Places(NamedTuple):
    """The values of some hashes in a band, sorted, and where the hashes of each stand."""

    unique: np.ndarray
    first: np.ndarray
    counts: np.ndarray


def _by_value(words: np.ndarray, band: Band) -> tuple[np.ndarray, _Places]:
    """Return the rows sorted by their band's value, and which values there are."""
    # Two numbers in one are sorted ten times as fast as one by another.
    packed = np.sort(_values(words, band).astype(np.uint64) << np.uint64(32) | np.arange(len(words), dtype=np.uint64))
    order = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return order, _Places(
        *np.unique((packed >> np.uint64(32)).astype(np.uint32), return_index=True, return_counts=True)
    )


def _candidates(left: _Places, right: _Places, masks: Iterable[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions of two whose values differ in the bits of a mask, each pair once.

    Of a crowd come its positions, as both.
    """
    for mask in masks:
        a, b = _partners(left, right, np.uint32(mask))
        is_crowd = np.sqrt(left.counts[a] * right.counts[b]) > CROWD
        for one, other in zip(a[is_crowd].tolist(), b[is_crowd].tolist(), strict=True):
            places = (left.first[one], left.counts[one]), (right.first[other], right.counts[other])
            crowd = np.unique(np.concatenate([np.arange(first, first + count) for first, count in places]))
            yield crowd, crowd
        a, b = a[~is_crowd], b[~is_crowd]
        for i, j in _products(left.first[a], left.counts[a], right.first[b], right.counts[b]):
            once = slice(None) if mask else i < j  # those of one value with themselves hold each pair twice
            yield i[once], j[once]


def _partners(left: _Places, right: _Places, mask: np.uint32) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (a, b) in the unique values with left[a] ^ mask == right[b], each pair once."""
    a = np.arange(len(left.unique) if len(right.unique) else 0)
    if left is right and not mask:
        return a, a
    if left is right:
        a = np.flatnonzero(left.unique < (left.unique ^ mask))
    partners = left.unique[a] ^ mask
    b = np.minimum(np.searchsorted(right.unique, partners), len(right.unique) - 1)
    there = right.unique[b] == partners
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
    # By 1 all are in one circle; by any other number, in several if it divides the crowd.
    for shift in (1, *np.random.default_rng(len(crowd)).integers(1, len(crowd), ROUNDS - 1)):
        others = np.roll(places, shift)
        near = _distances(words, crowd, crowd[others]) <= distance
        yield crowd[near], crowd[others[near]]
        group = join(group, places[near], others[near])
        if not group.any():
            return
    names, counts = np.unique(group, return_counts=True)
    alone = np.isin(group, names[counts == 1])
    for name in names[counts > 1]:
        inside, outside = crowd[group == name], crowd[(group > name) | alone]
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
