"""Which pairs are copies of which. Of a group the pair with the smallest id stays, however many parts it was found in.

A pair's id is its place among all pairs by key, so the smallest id is the smallest key. Copies are answered as two
arrays: ids of the copies, and for each the id of the pair that stays. Pairs that stay are not among the copies.

Near copies are connected: where a is near b and b is near c, all three are one group, even if a and c are not near.
That does not depend on the order of rows, and no two pairs that stay are within the distance.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b

import numpy as np

from .hamming import Band, close_pairs, join

DIGEST_WORDS = 2  # of 64 bits: a chance of 5e-20 for one clash among 5.85e9 values


def digests(values: Sequence[str]) -> np.ndarray:
    """Return (n, DIGEST_WORDS) uint64 that are equal where the texts are."""
    size = 8 * DIGEST_WORDS
    whole = b"".join(blake2b(value.encode(), digest_size=size).digest() for value in values)
    return np.frombuffer(whole, "<u8").reshape(-1, DIGEST_WORDS)


def part_of(words: np.ndarray, parts: int) -> np.ndarray:
    """Return which of `parts` (to 2 ** 32) each of (n, k) uint64 belongs to, equal ones to the same: (n,) int64."""
    mixed = words[:, 0].copy()
    for word in words.T[1:]:
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) ^ word  # bits of images are not spread evenly; 2 ** 64 / phi is
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)).astype(np.int64)


def groups_of(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of (n, k) uint64 with equal ones side by side, in their order; and where each group begins."""
    order = np.lexsort(words.T)  # stable
    grouped = words[order]
    is_first = np.ones(len(words), bool)
    is_first[1:] = (grouped[1:] != grouped[:-1]).any(axis=1)
    return order, np.flatnonzero(is_first)


def equal_copies(words: np.ndarray, ids: np.ndarray, *, keep: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the copies among pairs of equal words, by id; of each group the `keep` smallest ids stay.

    words: (n, k) uint64. ids: (n,) int64, ascending. The keeper of every copy is the smallest id of its group.
    """
    order, starts = groups_of(words)
    start = np.repeat(starts, np.diff(np.append(starts, len(words))))
    copies = np.flatnonzero(np.arange(len(words)) - start >= keep)
    found, keepers = ids[order[copies]], ids[order[start[copies]]]
    by_id = np.argsort(found)
    return found[by_id], keepers[by_id]


def near_links(
    words: np.ndarray,
    ids: np.ndarray,
    band: Band,
    masks: Iterable[int],
    *,
    distance: int,
    others: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Return links (m, 2) of ids that connect what is near within a part, or between it and another, and no more.

    words: (n, 4) uint64, all different. others: words and ids of the other part. For bands and masks see hamming.py.
    """
    if others is not None:
        ids = np.concatenate([ids, others[1]])
    group = np.arange(len(ids))
    for i, j in close_pairs(words, others and others[0], band, masks, distance=distance):
        group = join(group, i, j)
    linked = np.flatnonzero(group != np.arange(len(group)))
    return np.stack([ids[group[linked]], ids[linked]], axis=1)


def connected(links: Callable[[], Iterator[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the copies among ids that chains of links connect, by id. links: yields (m, 2) int64, the same each time.

    In memory are 40 bytes for each id that is linked, and 48 for each link of one array.
    """
    nodes = np.zeros(0, np.int64)
    for some in links():
        nodes = np.union1d(nodes, some)
    group = np.arange(len(nodes))
    for some in links():
        group = join(group, *np.searchsorted(nodes, some.T))
    copies = np.flatnonzero(group != np.arange(len(nodes)))
    return nodes[copies], nodes[group[copies]]


def of_one_color(
    ids: np.ndarray, keepers: np.ndarray, colors_of: Callable[[np.ndarray], np.ndarray], *, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the copies that have the colour of their keeper, by id; of the others of a group the smallest keeps next.

    colors_of: ids (n,) -> (n, 3) uint8. most: how far red, green and blue may be apart, each.
    """
    found = []
    while len(ids):
        apart = np.abs(colors_of(ids).astype(np.int16) - colors_of(keepers)).max(axis=1, initial=0)
        found.append(np.stack([ids, keepers])[:, apart <= most])
        order = np.lexsort((ids, keepers))
        order = order[apart[order] > most]
        ids, group = ids[order], keepers[order]
        is_first = np.append(True, group[1:] != group[:-1])[: len(ids)]
        keepers = ids[is_first][np.cumsum(is_first) - 1]
        ids, keepers = ids[~is_first], keepers[~is_first]
    copies, kept = np.concatenate([np.zeros((2, 0), np.int64), *found], axis=1)
    by_id = np.argsort(copies)
    return copies[by_id], kept[by_id]
