"""Generated images on the page: what `corgi sample` drew, and the sets of `corgi evaluate`, by every stage.

Each stands beside the real image of its caption, where it has one, and the training picture that is most like it.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs import UserError
from evaluation.nearest import Nearest, TrainingPictures
from storage.pictures import pictures_in, read_pixels
from storage.plan import PLAN
from storage.run import trainings_of
from storage.samples import FOLDER, REAL, sets_of
from storage.shard import TAR
from storage.tar import TarReader

from .album import Album
from .sensitive import SensitivePairs, pack

DRAWN_PX, BESIDE_PX, SMALL_PX = 192, 144, 64  # of thumbnails: the last stage's, real ones, those of stages before
MOST = 60  # images of each part of the page, and no more than there is room for
COMPARED = 1000  # training pictures among which the nearest is looked for


class Sample(NamedTuple):
    """One caption and its images."""

    caption: str
    group: str  # empty where the table has none
    is_held_out: bool
    images: dict[str, np.ndarray]  # part -> (px, px, 3) uint8, the real one last
    how: str = ""  # it was drawn, for people

    @property
    def largest(self) -> np.ndarray:
        """Return what the last stage drew."""
        return [pixels for part, pixels in self.images.items() if part != REAL][-1]


class Thumbnail(NamedTuple):
    """An image of a tile."""

    words: str  # under it
    alt: str
    px: int  # side of the whole
    url: str
    whole: str  # url of the whole picture


class Tile(NamedTuple):
    """A sample as the template shows it."""

    sample: Sample
    large: list[Thumbnail]  # the last stage's, the nearest training picture, the real one
    small: list[Thumbnail]  # those of the stages before
    packed: str | None  # of a sensitive caption
    nearest_packed: str | None  # of a sensitive training picture


def section(run: Path, sensitive: SensitivePairs, album: Album) -> dict[str, Any] | None:
    """Return what the template shows, None where nothing was sampled yet."""
    parts = {"mine": list(drawn(run)), "samples": list(gather(run))}
    if not any(parts.values()):
        return None
    captions = [sample.caption for samples in parts.values() for sample in samples]
    shown = {part: samples[:MOST] for part, samples in parts.items()}
    near = _nearest(run, [sample.largest for samples in shown.values() for sample in samples])
    hateful = sensitive.hateful([*captions, *(found.pair["caption"] for found in near.found)])
    nothing: list[Nearest | None] = [None] * len(captions)
    found: Iterator[Nearest | None] = iter([*near.found] or nothing)
    tiles: dict[str, list[Tile]] = {}
    for part, samples in shown.items():
        beside = [next(found) for _ in samples]
        tiles[part] = [
            _tile(sample, nearest, part=part, album=album, sensitive=sensitive, hateful=hateful)
            for sample, nearest in zip(samples, beside, strict=True)
            if not album.is_full(part)
        ]
    about = {"folder": FOLDER, "compared": near.compared, "missing": near.missing}
    return {"tiles": tiles, "totals": {part: len(samples) for part, samples in parts.items()}, **about}


class _Near(NamedTuple):
    found: list[Nearest]  # one an image, or none at all
    compared: int  # training pictures
    missing: str  # why there is none


def _nearest(run: Path, images: Sequence[np.ndarray]) -> _Near:
    """Return the nearest training pictures, as far as the run has some and the net of the features is installed."""
    if not (run / PLAN).exists():
        return _Near([], 0, "")
    try:
        training = TrainingPictures(run, count=COMPARED)
        return _Near(training.nearest(images), len(training.pairs), "")
    except UserError as error:
        return _Near([], 0, str(error))


def _tile(
    sample: Sample, near: Nearest | None, *, part: str, album: Album, sensitive: SensitivePairs, hateful: set[str]
) -> Tile:
    if sample.caption in hateful:
        url = album.thumbnail(sample.largest, DRAWN_PX, part=part)
        hidden = {"caption": sample.caption, "how": sample.how, "image": url, "alt": "generated"}
        return Tile(sample, [], [], pack({name: text for name, text in hidden.items() if text}), None)

    def thumbnail(pixels: np.ndarray, px: int, words: str, alt: str) -> Thumbnail:
        return Thumbnail(words, alt, len(pixels), album.thumbnail(pixels, px, part=part), album.whole(pixels))

    stages = [(name, pixels) for name, pixels in sample.images.items() if name != REAL]
    name, last = stages[-1]
    large = [thumbnail(last, DRAWN_PX, f"{name}, {len(last)} px", f"generated at {len(last)} px: {sample.caption}")]
    packed = None
    if near is not None:
        with TarReader(near.shard.path(TAR)) as tar:
            pixels = tar.image(near.pair["tar_offset"], size=near.pair["tar_size"])
        caption, words = near.pair["caption"], f"nearest of training, {near.similarity:.2f}"
        if sensitive.covers(near.pair, hateful):
            url = album.thumbnail(pixels, BESIDE_PX, part=part)
            packed = pack({"caption": caption, "detail": words, "image": url, "alt": "training image"})
        else:
            large.append(thumbnail(pixels, BESIDE_PX, words, f"the nearest training image: {caption}"))
    if REAL in sample.images:
        real = sample.images[REAL]
        large.append(thumbnail(real, BESIDE_PX, "real", f"the real image of {sample.caption}"))
    small = [
        thumbnail(pixels, SMALL_PX, f"{len(pixels)} px", f"generated at {len(pixels)} px: {sample.caption}")
        for _, pixels in stages[:-1]
    ]
    return Tile(sample, large, small, None, packed)


def drawn(run: Path) -> Iterator[Sample]:
    """Yield what `corgi sample` drew into the run and its trainings, the last drawn first."""
    by_name: dict[tuple[str, int, str], tuple[dict[str, Any], dict[str, np.ndarray]]] = {}
    for folder in dict.fromkeys([run, *trainings_of(run)]):
        for picture in pictures_in(folder / FOLDER):
            name = (picture.caption, picture.seed, str(picture.about.get("drawn_at")))
            known, images = by_name.setdefault(name, (picture.about, {}))
            if len(by_name) <= MOST:
                images[picture.stage] = read_pixels(picture.path)
            if len(picture.about.get("stages") or ()) > len(known.get("stages") or ()):
                by_name[name] = picture.about, images
    for (caption, seed, _), (about, images) in by_name.items():
        by_size = dict(sorted(images.items(), key=lambda item: len(item[1])))
        yield Sample(caption, "", False, by_size, how=f"seed {seed}{_settings(about)}")


def _settings(about: dict[str, Any]) -> str:
    """Return how a picture was drawn, in a few words; nothing where it does not say so."""
    try:
        samplers = [stage["sampler"] for stage in about["stages"]]
        steps, guidance = (" + ".join(f"{each[name]:g}" for each in samplers) for name in ("steps", "guidance"))
        return f"; {steps} steps, guidance {guidance}; {str(about['drawn_at'])[:16].replace('T', ' ')}"
    except (KeyError, TypeError, ValueError):
        return ""


def gather(run: Path) -> Iterator[Sample]:
    """Yield the samples of all sets, taking turns between the groups so that any beginning shows some of each."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for images in sets_of(run):
        rows, parts = images.rows().to_pylist(), images.parts()
        if not set(parts) - {REAL} or any(len(pixels) != len(rows) for pixels in parts.values()):
            continue  # a set half made
        for number, row in enumerate(rows):
            own = {part: pixels[number] for part, pixels in parts.items()}
            sample = Sample(row["caption"], row.get("group") or "", bool(row.get("held_out")), own)
            groups.setdefault((images.name, sample.group), []).append(sample)
    in_turn = [groups[place] for place in sorted(groups, key=lambda place: (groups[place][0].is_held_out, place))]
    for turn in zip_longest(*in_turn):
        yield from (sample for sample in turn if sample is not None)
