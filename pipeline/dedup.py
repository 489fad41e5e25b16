"""dedup: which pairs are copies of which, over all shards.

Of a group of copies the smallest key stays; without the scorer pdq there are no near copies. Whether a copy is dropped
is for the rules of `select` to say. They judge the keeper, too: where they drop it for its caption, no image of its
group is left. No other choice would let a rule change without this step.

Every shard is read once. What tells pairs apart is spread over parts small enough for memory (dedup_parts.py), which
are judged side by side; a part that is done is not done again by the same command after a kill.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import Any

from pydantic import Field

from configs import Config, UserError, fingerprint
from configs.steps import STEPS
from storage import duplicates, frequent, scores
from storage.footers import side_by_side
from storage.machine import cores_of_task
from storage.plan import is_planned, shards_of
from storage.shard import PAIRS, SCORES, Shard
from storage.tables import content
from storage.typed import typed

from .blocks import Block, blocks_of
from .dedup_parts import HASHES, SOURCES, Parts
from .dedup_records import PIXELS
from .frequencies import COUNTED, collected, count
from .phases import Phase, Task, run_phases
from .step import TableStep

VERSION = 1
LATER = ("frequent", "turned", "color")  # keys that a run of an earlier version has not
SCRATCH = "dedup.scratch"
REMOVED = "removed"  # in it: what is on its way out
BLOCK_ROWS = 1_000_000  # planned pairs that are read together; 130 bytes each in memory
PART_ROWS = 1 << 19  # that are judged together; 250 bytes each in memory


class DedupConfig(Config):
    """Which pairs count as the same image or the same words. Of duplicates the smallest key stays."""

    distance: int = Field(default=15, ge=0, le=31)  # PDQ bits of 256 that may differ; 31 costs tens of times the time
    # Whether turned and mirrored copies are near, as far as the hash tells: eight hashes of an image.
    turned: bool = False
    # How far the mean red, green and blue of near copies may be apart, of 255; null: any, and a blue heart is near a
    # green one.
    color: int | None = Field(default=None, ge=0, le=255, examples=[12])
    min_quality: int = Field(default=50, ge=0, le=100)  # flatter images have no PDQ hash worth comparing
    # A caption seen more often keeps this many pairs, the others are caption_copy; null: as many as there are.
    max_caption_count: int | None = Field(default=None, ge=1, examples=[10])
    # Pictures, captions and hosts of so many pairs or more are counted: image_count, caption_count, host_count, which
    # are 1 of all others; null: nothing is counted.
    frequent: int | None = Field(default=None, ge=2, examples=[10])
    # Folder on a fast disk for the files of work in hand, which a run takes up again; null: in the run's folder.
    scratch: Path | None = Field(default=None, examples=["/scratch/me"])

    def folder(self, run: Path) -> Path:
        """Return where the work in hand of a run lies: another folder for each, wherever its command is given."""
        return run / SCRATCH if self.scratch is None else self.scratch / f"{SCRATCH}-{fingerprint(str(run.resolve()))}"

    def made_of(self) -> dict[str, Any]:
        """Return the part that decides what is found; later keys where they are not as they are by default."""
        fields = type(self).model_fields
        usual = {name for name in LATER if getattr(self, name) == fields[name].default}
        return self.model_dump(exclude={"scratch", *usual})


@dataclass(frozen=True)
class Dedup(TableStep):
    """The table step `dedup`."""

    entry = STEPS["dedup"]
    run: Path
    dedup: DedupConfig
    workers: int

    def fingerprint(self) -> str:
        """Cover the thresholds, and every shard's pairs and scores."""

        def inputs_of(shard: Shard) -> list[str | None]:
            return [content(shard.name(suffix)) for suffix in (PAIRS, SCORES)]

        inputs = side_by_side(inputs_of, shards_of(self.run))
        return fingerprint("dedup", VERSION, self.dedup.made_of(), inputs)

    def __call__(self) -> Counter[str]:
        """Find the copies of each kind."""
        mark, blocks = self.fingerprint(), blocks_of(self.run, BLOCK_ROWS)
        parts = self._parts(blocks, fingerprint(mark, BLOCK_ROWS, PART_ROWS, SOURCES))
        workers = cores_of_task() or self.workers
        run_phases("dedup", list(_phases(parts, blocks)), workers=workers, pairs=parts.block_ids[-1])
        (self.run / frequent.FREQUENT).unlink(missing_ok=True)
        if parts.frequent is not None:
            frequent.write(self.run, collected(parts), fingerprint=mark)
        rows = duplicates.PartFiles(parts.files("rows"))
        duplicates.write(self.run, rows, fingerprint=mark)
        counts = Counter({f"{kind}_copies": rows.count(kind) for kind in parts.kinds})
        _remove(parts.scratch)
        self._scratch.rmdir()
        return counts

    @property
    def _scratch(self) -> Path:
        return self.dedup.folder(self.run)

    def _parts(self, blocks: list[Block], mark: str) -> Parts:
        """Return the work, in a scratch folder of its own; what other work has left there goes."""
        known = scores.names(blocks[0].shards[0])
        if self.dedup.color is not None and HASHES[-1] not in known:
            raise UserError(
                f'dedup.color asks for {HASHES[-1]}: run "{typed(self.run, "score")}" first, with score.pdq'
            )
        for other in [*self._scratch.glob("*")]:
            if other.name != mark:
                _remove(other)
        keep = {"exact": 1}
        if self.dedup.max_caption_count is not None:
            keep["caption"] = self.dedup.max_caption_count
        block_ids = [*(block.begins[0] for block in blocks), blocks[-1].begins[-1]]
        return Parts(
            run=self.run,
            scratch=self._scratch / mark,
            distance=self.dedup.distance,
            min_quality=self.dedup.min_quality,
            keep=keep,
            has_hashes=HASHES[0] in known,
            is_planned=is_planned(self.run),
            frequent=self.dedup.frequent,
            has_pixels=PIXELS in known,
            turned=self.dedup.turned,
            color=self.dedup.color,
            part_bits=max(0, ceil(log2(max(1, block_ids[-1]) / PART_ROWS))),
            block_ids=block_ids,
        )


def _phases(parts: Parts, blocks: list[Block]) -> Iterator[Phase]:
    """Yield the phases in order; each needs all files of those before it."""
    everywhere = range(parts.count)
    yield Phase([Task(parts.path("keys", block.number), partial(parts.collect, block)) for block in blocks])
    for kind in COUNTED if parts.frequent is not None else ():
        spent = [kind] if kind not in parts.keep else []
        yield _phase(parts, f"{kind}.frequent", partial(count, parts, kind), everywhere, spent=spent)
    for kind in parts.keep:
        yield _phase(parts, f"{kind}.copies", partial(parts.equal, kind), everywhere, spent=[kind])
    if parts.has_hashes:
        yield _phase(parts, "distinct", parts.distinct, everywhere, spent=["hashes"])
        for number, band in enumerate(parts.bands):
            of_band = range(1 << parts.bits(band))
            if parts.part_bits:  # else there is nothing to spread
                sources = range(-(-parts.count // SOURCES))
                yield _phase(parts, f"spread.{number}", partial(parts.spread, number), sources)
                spent = [f"spread.{number}"]
                yield _phase(parts, f"laid.{number}", partial(parts.gather, number), of_band, spent=spent)
            yield _phase(parts, f"links.{number}", partial(parts.compare, number), of_band, spent=[f"laid.{number}"])
        yield _phase(parts, "near.copies", parts.connect, [parts.count])
    yield Phase([Task(parts.path("rows", block.number), partial(parts.rows, block)) for block in blocks])


def _remove(folder: Path) -> None:
    """Remove a scratch folder under another name: what is left of it after a kill is never taken for work in hand."""
    removed = folder.with_name(REMOVED)
    shutil.rmtree(removed, ignore_errors=True)
    if folder.exists():
        folder.rename(removed)
        shutil.rmtree(removed)


def _phase(
    parts: Parts, folder: str, make: Callable[[int], None], numbers: Iterable[int], *, spent: Sequence[str] = ()
) -> Phase:
    """Return a phase of a task for each number, which makes the file of that number."""
    tasks = [Task(parts.path(folder, number), partial(make, number)) for number in numbers]
    return Phase(tasks, tuple(parts.scratch / name for name in spent))
