"""The parts of dedup's work. Each reads files of the run and of the scratch folder, and makes one file.

    keys, colors                   a file for each block of shards: by id
    exact, caption, host, hashes   a file for each block: spread over the parts
    <kind>.copies                  a file for each part: copies among equal digests, spread over the blocks
    same, distinct                 a file for each part: copies among equal hashes, and one pair of each hash
    spread.3, laid.3               distinct hashes by the bits of one band; removed when the band is done
    links.3                        a file for each part of the band: what is near what
    rows                           a file for each block: its rows of duplicates.parquet

A pair's id is its place among all planned pairs. They are sorted by key, so ids compare like keys; adopted ones stand
as they lie in their shards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs import UserError
from filters.duplicates import connected, equal_copies, groups_of, near_links, of_one_color, part_of
from filters.hamming import BYTES, Band, masks_by_part, plan
from filters.hamming import part_of as band_part_of
from filters.pdq import turned
from storage import duplicates, pairs, scores, spread
from storage.typed import typed

from .blocks import Block
from .dedup_records import COLOR, COPY, DIGEST, HASH, LINK, PIXELS, VALUES, digests_of, keys_in, records_of, values_of

SOURCES = 4  # parts of distinct hashes that are spread together, so that fewer files are opened
LINKS = 1 << 22  # that are followed at once, at least
HASHES = ("pdq", "pdq_quality", "pdq_color")


@dataclass(frozen=True)
class Parts:
    """What all parts of the work know. It travels to the workers."""

    run: Path
    scratch: Path
    distance: int
    min_quality: int
    keep: dict[str, int]  # kind of equal copies -> how many of a group stay
    has_hashes: bool
    has_pixels: bool  # their digest is in the scores
    turned: bool  # turned and mirrored copies are looked for, too
    color: int | None  # how far the mean colours of near copies may be apart; None: any
    is_planned: bool  # by a url table: keys are of one length, and sorted
    frequent: int | None  # pairs from which a picture, caption or host is counted; None: nothing is
    part_bits: int  # there are 2 ** part_bits parts
    block_ids: list[int]  # the first id of each block, and the end

    @property
    def count(self) -> int:
        """Return the number of parts."""
        return 1 << self.part_bits

    @property
    def digested(self) -> list[str]:
        """Return the kinds of values whose digests are asked for."""
        return [kind for kind in VALUES if kind in self.keep or self.frequent is not None]

    @property
    def bands(self) -> list[Band]:
        """Return the cut of hashes that misses no near copies."""
        return plan(self.block_ids[-1], self.distance) if self.distance else []

    def bits(self, band: Band) -> int:
        """Return how many bits of a band's value tell its parts apart."""
        return min(self.part_bits, band.bits)

    def path(self, folder: str, number: int) -> Path:
        """Return a file of the scratch folder."""
        return self.scratch / folder / f"{number:05d}"

    def files(self, folder: str) -> list[Path]:
        """Return all files of a folder that is finished, in the order of their numbers."""
        return sorted((self.scratch / folder).glob("[0-9]*"), key=lambda path: int(path.name))

    def collect(self, block: Block) -> None:
        """Read what tells the pairs of a block apart. The keys come last: they say that the block is done."""
        kept: dict[str, list[np.ndarray]] = {kind: [] for kind in (*self.digested, "hashes", "colors", "keys")}
        for shard, first_key, begin, end in zip(
            block.shards, block.first_keys, block.begins[:-1], block.begins[1:], strict=True
        ):
            table = pairs.read(shard, ["key", "status", *(VALUES[kind] for kind in self.digested)])
            kept["keys"].append(keys_in(table, shard, first_key if self.is_planned else None, end - begin))
            ids = begin + np.flatnonzero(pc.equal(table["status"], pairs.OK).to_numpy(zero_copy_only=False))
            stored = table.take(pa.array(ids - begin))
            scored = scores.read(shard, [*HASHES, PIXELS], of=stored)
            for name, is_there, by in ((HASHES[0], self.has_hashes, "pdq"), (PIXELS, self.has_pixels, "noise")):
                if (name in scored.column_names) != is_there:
                    raise UserError(f'only some shards are scored with {by}; run "{typed(shard.run, "score")}" first')
            for kind in self.digested:
                kept[kind].append(digests_of(values_of(kind, stored, scored), ids))
            if self.has_hashes:
                kept["hashes"].append(self._hashes(scored, ids))
            if self.color is not None:
                kept["colors"].append(np.zeros(end - begin, COLOR))
                colors = b"".join(color or bytes(3) for color in scored["pdq_color"].to_pylist())
                kept["colors"][-1][ids - begin] = np.frombuffer(colors, np.uint8).reshape(-1, 3)
        if self.color is not None:
            spread.write(self.path("colors", block.number), np.concatenate(kept.pop("colors")))
        for kind, arrays in kept.items():
            if arrays and kind != "keys":
                records = np.concatenate(arrays)
                spread.write(self.path(kind, block.number), records, part_of(records["words"], self.count), self.count)
        spread.write(self.path("keys", block.number), np.concatenate(kept["keys"]))

    def _hashes(self, scored: pa.Table, ids: np.ndarray) -> np.ndarray:
        """Return the hashes of those images that have one worth comparing."""
        is_good = pc.greater_equal(scored["pdq_quality"], self.min_quality)
        fit = pc.fill_null(pc.and_(pc.is_valid(scored["pdq"]), is_good), False)
        hashes = b"".join(scored["pdq"].filter(fit).to_pylist())
        words, ids = np.frombuffer(hashes, np.uint64).reshape(-1, BYTES // 8), ids[fit.to_numpy()]
        if not self.turned:
            return records_of(HASH, words, ids)
        # Of an image that is its own mirror image some of the eight are equal.
        every = np.concatenate([np.tile(ids.astype(np.uint64), 8)[:, None], turned(words).reshape(-1, 4)], axis=1)
        every = np.unique(every, axis=0)
        return records_of(HASH, every[:, 1:], every[:, 0].astype(np.int64))

    def equal(self, kind: str, part: int) -> None:
        """Find the copies among equal digests of one part."""
        records = spread.read(self.files(kind), DIGEST, part)
        copies = equal_copies(records["words"], records["id"], keep=self.keep[kind])
        self._write_copies(f"{kind}.copies", part, *copies)

    def _write_copies(self, folder: str, number: int, ids: np.ndarray, keepers: np.ndarray) -> None:
        """Commit copies, spread over the blocks that they are of."""
        block = np.searchsorted(self.block_ids, ids, side="right") - 1
        spread.write(self.path(folder, number), records_of(COPY, ids, keepers), block, len(self.block_ids) - 1)

    def distinct(self, part: int) -> None:
        """Find the copies among equal hashes of one part, and one pair of each hash; these come last."""
        records = spread.read(self.files("hashes"), HASH, part)
        ids, keepers = equal_copies(records["words"], records["id"])
        if self.turned:  # an image has several hashes, and may be a copy by one of them alone
            order, starts = groups_of(records["words"])
            first = records[np.sort(order[starts])]
        else:
            first = records[np.isin(records["id"], ids, invert=True)]
        spread.write(self.path("same", part), records_of(COPY, ids, keepers))
        spread.write(self.path("distinct", part), first)

    def spread(self, number: int, group: int) -> None:
        """Spread a group of distinct hashes over the parts of the band with this number."""
        sources = self.files("distinct")[group * SOURCES : (group + 1) * SOURCES]
        band, records = self.bands[number], spread.read(sources, HASH)
        bits = self.bits(band)
        part = band_part_of(records["words"], band, bits)
        spread.write(self.path(f"spread.{number}", group), records, part, 1 << bits)

    def gather(self, number: int, part: int) -> None:
        """Lay the hashes of one part of a band side by side."""
        records = spread.read(self.files(f"spread.{number}"), HASH, part)
        spread.write(self.path(f"laid.{number}", part), records)

    def compare(self, number: int, part: int) -> None:
        """Find what is near within one part of a band, and between it and the later ones that it may differ from."""
        band = self.bands[number]
        folder = f"laid.{number}" if self.part_bits else "distinct"
        mine = spread.read([self.path(folder, part)], HASH)
        links = []
        for apart, masks in masks_by_part(band, self.bits(band)).items():
            if part ^ apart >= part:
                others = spread.read([self.path(folder, part ^ apart)], HASH) if apart else None
                links.append(_links(mine, others, band, masks, self.distance))
        spread.write(self.path(f"links.{number}", part), np.concatenate(links))

    def connect(self, last: int) -> None:
        """Follow all links to the near copies. The file of number `last` says that all are there."""
        ids, keepers = connected(self._links)
        if self.color is not None:
            ids, keepers = of_one_color(ids, keepers, self._colors_of, most=self.color)
        for part in range(0 if self._follows_same else self.count):
            same = spread.read([self.path("same", part)], COPY)
            place = np.searchsorted(ids, same["keeper"]) if len(ids) else np.zeros(len(same), np.int64)
            moved = np.append(ids, -1)[place] == same["keeper"]
            same["keeper"][moved] = keepers[place[moved]]
            self._write_copies("near.copies", part, same["id"], same["keeper"])
        self._write_copies("near.copies", last, ids, keepers)

    def _links(self) -> Iterator[np.ndarray]:
        """Yield the links of all bands, (m, 2), a sixteenth of them at once, or LINKS where that is more.

        Whatever follows them looks at every linked id each time, so it must not be many times.
        """
        paths = [path for number in range(len(self.bands)) for path in self.files(f"links.{number}")]
        paths += self.files("same") if self._follows_same else []  # a COPY is a link as well
        at_once = max(LINKS, sum(path.stat().st_size for path in paths) // LINK.itemsize // 16)
        held: list[np.ndarray] = []
        for path in paths:
            held.append(spread.read([path], LINK))
            if sum(map(len, held)) >= at_once:
                yield np.concatenate(held)
                held = []
        if held:
            yield np.concatenate(held)

    def rows(self, block: Block) -> None:
        """Write a block's rows of duplicates.parquet, sorted by key and kind."""
        copies = {kind: spread.read(self.files(f"{kind}.copies"), COPY, block.number) for kind in self.kinds}
        records = np.concatenate(list(copies.values()))
        kind = np.repeat(np.arange(len(copies)), [len(some) for some in copies.values()])
        order = np.lexsort((kind, records["id"]))
        ids, keepers = records["id"][order], records["keeper"][order]
        shard = np.searchsorted(block.begins, ids, side="right") - 1 + block.shards[0].number
        names = pa.array(list(copies), pa.string()).take(pa.array(kind[order]))
        columns = [pa.array(shard), pa.array(self.keys_of(ids)), names, pa.array(self.keys_of(keepers))]
        duplicates.write_part(self.path("rows", block.number), columns)

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of copies that are looked for, sorted."""
        return sorted([*self.keep, *(["near"] if self.has_hashes else [])])

    @property
    def _follows_same(self) -> bool:
        """Tell whether pairs of equal hashes may be of several groups, or of none: then they are links like others."""
        return self.turned or self.color is not None

    def _colors_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the mean colours of pairs, (n, 3) uint8, read block by block."""
        colors = np.zeros(len(ids), COLOR)
        block = np.searchsorted(self.block_ids, ids, side="right") - 1
        for number in np.unique(block).tolist():
            here = block == number
            colors[here] = spread.mapped(self.path("colors", number), COLOR)[ids[here] - self.block_ids[number]]
        return colors

    def keys_of(self, ids: np.ndarray) -> list[str]:
        """Return the keys of pairs, read block by block."""
        keys = np.zeros(len(ids), object)
        block = np.searchsorted(self.block_ids, ids, side="right") - 1
        for number in np.unique(block).tolist():
            here = block == number
            path, begin, end = self.path("keys", number), *self.block_ids[number : number + 2]
            keys[here] = spread.mapped(path, spread.text_of(path, end - begin))[ids[here] - begin]
        return [key.decode() for key in keys]


def _links(mine: np.ndarray, others: np.ndarray | None, band: Band, masks: list[int], distance: int) -> np.ndarray:
    beside = None if others is None else (others["words"], others["id"])
    return near_links(mine["words"], mine["id"], band, masks, distance=distance, others=beside)
