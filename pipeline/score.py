"""score: every stored image and its caption get their numbers once.

Each image is decoded at most once for all scorers, no larger than the one of them needs that looks closest, and not at
all where none looks at it. What a scorer made stays where another one is added or changed: only that one is asked.
Scores are dear and kept; thresholds are a matter of `select`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from configs import fingerprint, fingerprints
from configs.steps import STEPS
from filters.base import Batch, Scorer
from filters.own import Own
from filters.scorers import SCORERS, ScorersConfig, build
from storage import pairs, scores
from storage.scores import Made
from storage.shard import PAIRS, TAR, Shard
from storage.tables import content
from storage.tar import TarReader, decode_scaled

from .columns import OF_DEDUP
from .step import ShardStep, State
from .workers import Tally

VERSION = 2
BATCH = 64  # images decoded at a time
LEAST_PX = 512  # of an image's shorter side that every scorer is given, so that none depends on what the others need


@dataclass(frozen=True)
class Score(ShardStep):
    """The shard step `score`."""

    entry = STEPS["score"]
    score: ScorersConfig

    @cached_property
    def scorers(self) -> list[Scorer]:
        """Build the scorers, once in each process."""
        return build(self.score)

    @cached_property
    def image_px(self) -> int:
        """Return how long the shorter side of a decoded image is at least, where the stored one is not smaller."""
        needs = [getattr(scorer, "image_px", 0) for scorer in self.scorers if "images" in scorer.needs]
        return max([LEAST_PX, *needs])

    def fingerprint(self, shard: Shard) -> str:
        """Cover the scorers with their model files, and the shard's pairs."""
        return self.made_from(content(shard.name(PAIRS)))

    def made_from(self, pairs_content: str | None) -> str:
        """Return the fingerprint of scores of pairs with this content."""
        return self._fingerprint_of(pairs_content)

    @cached_property
    def _fingerprint_of(self) -> Callable[[str | None], str]:
        return fingerprints("score", VERSION, [self._mark_of(scorer) for scorer in self.scorers])

    def state(self, shard: Shard) -> State:
        """Return where a shard stands. It is done, too, where a scorer of somebody's own made further columns."""
        state = super().state(shard)
        if state != "stale":
            return state
        made = scores.made_of(shard, content(shard.name(PAIRS)))
        own = {name for name in made if name not in SCORERS}
        is_made = all(made.get(scorer.name) == self._made(scorer) for scorer in self.scorers)
        return "done" if is_made and {*made} - own <= {scorer.name for scorer in self.scorers} else "stale"

    def _mark_of(self, scorer: Scorer) -> str:
        """Return the fingerprint of what a scorer makes: from images, or from columns of scorers before it."""
        parts = [VERSION, scorer.fingerprint, self.image_px if "images" in scorer.needs else None]
        before = [self._mark_of(other) for other in self.scorers if {*other.columns} & {*scorer.needs}]
        return fingerprint(*parts, *([before] if before else []))

    def _made(self, scorer: Scorer) -> Made:
        return Made(self._mark_of(scorer), tuple(scorer.columns))

    def __call__(self, shard: Shard) -> Counter[str]:
        """Write one row for each pair of the tar, in its order: the key, and the columns of every scorer."""
        pairs_content, stored = content(shard.path(PAIRS)), pairs.stored(shard)
        earlier = scores.made_of(shard, pairs_content)
        made = {scorer.name: self._made(scorer) for scorer in self.scorers}
        asked = [scorer for scorer in self.scorers if earlier.get(scorer.name) != made[scorer.name]]
        others = {name: each for name, each in earlier.items() if name not in made and name not in SCORERS}
        taken = {**made, **others}
        kept = [name for each in taken.values() for name in each.columns]
        old = scores.read(shard, kept, of=stored) if earlier else None
        remade = {name for scorer in asked for name in scorer.columns}
        if old is not None:  # what scorers need of others that are not asked again
            for name in sorted({name for scorer in asked for name in scorer.needs} & {*old.column_names} - remade):
                stored = stored.append_column(name, old[name])
        for own in [scorer for scorer in asked if isinstance(scorer, Own)]:
            ours = [name for name in (*(old.column_names if old else ()), *remade) if name not in own.columns]
            own.check([*stored.column_names, *ours], OF_DEDUP)
        new = self._asked(shard, stored, asked)
        columns = {name: new[name] if name in new else old[name] for name in kept}  # type: ignore[index]
        types = {name: values.type for name, values in columns.items()}
        mark = self.made_from(pairs_content)
        scores.write(shard, stored["key"], columns, types, fingerprint=mark, made=taken, of_pairs=pairs_content)
        return Counter({"scored": len(stored)})

    def _asked(self, shard: Shard, stored: pa.Table, scorers: Sequence[Scorer]) -> dict[str, pa.Array]:
        """Return the columns of some scorers."""
        types = {name: kind for scorer in scorers for name, kind in scorer.columns.items()}
        columns: dict[str, list[Any]] = {name: [] for name in types}
        tally = Tally(of=len(stored))
        if scorers:
            for batch in self._batches(shard, stored, wants_images=any("images" in each.needs for each in scorers)):
                for scorer in scorers:
                    for name, values in scorer(batch).items():
                        columns[name].extend(values)
                        batch.columns[name] = values  # scorers after it may need them
                tally.add("scored", len(batch.captions))
        return {name: pa.array(columns[name], type=kind) for name, kind in types.items()}

    def _batches(self, shard: Shard, stored: pa.Table, *, wants_images: bool) -> Iterator[Batch]:
        with TarReader(shard.path(TAR)) as tar:
            for start in range(0, len(stored), BATCH):
                rows = stored.slice(start, BATCH)
                places = zip(rows["tar_offset"].to_pylist(), rows["tar_size"].to_pylist(), strict=True)
                images = [self._image(tar, at, size) for at, size in places] if wants_images else list[np.ndarray]()
                columns = {name: rows[name].to_pylist() for name in rows.column_names}
                yield Batch(images=images, captions=columns["caption"], columns=columns)

    def _image(self, tar: TarReader, offset: int, size: int) -> np.ndarray:
        return decode_scaled(tar.read(offset, size=size), at_least_px=self.image_px).pixels
