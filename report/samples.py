"""Generated images on the page: each at every size of the cascade, with its caption and the real image beside it."""

import io
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from storage.samples import FOLDER, REAL, sets_of

from .render import data_url
from .sensitive import SensitivePairs, pack

BUDGET_BYTES = 6_000_000  # of images as text in the page
PIXELATED_PX = 32  # images up to this side are stored exactly, as PNG, and shown as the squares they are


class Sample(NamedTuple):
    """One caption and its images."""

    caption: str
    group: str  # empty where the table has none
    is_held_out: bool
    images: dict[str, np.ndarray]  # part -> (px, px, 3) uint8, the real one last


def section(run: Path, sensitive: SensitivePairs) -> dict[str, Any] | None:
    """Return what the template shows, None where nothing was sampled yet."""
    samples = list(gather(run))
    hateful = sensitive.hateful(sample.caption for sample in samples)
    tiles, spent = [], 0
    for sample in samples:
        urls = {part: _url(pixels) for part, pixels in sample.images.items()}
        spent += sum(map(len, urls.values()))
        if spent > BUDGET_BYTES:
            break
        largest = [url for part, url in urls.items() if part != REAL][-1]
        hidden = {"caption": sample.caption, "image": largest, "alt": "generated"}
        tiles.append((sample, urls, pack(hidden) if sample.caption in hateful else None))
    has_real = any(REAL in sample.images for sample in samples)
    about = {"total": len(samples), "folder": FOLDER, "real": REAL, "has_real": has_real}
    return {"tiles": tiles, **about} if samples else None


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


def _url(pixels: np.ndarray) -> str:
    file, kind = io.BytesIO(), "png" if len(pixels) <= PIXELATED_PX else "webp"
    options: dict[str, Any] = {"optimize": True} if kind == "png" else {"quality": 72, "method": 4}
    Image.fromarray(pixels).save(file, kind.upper(), **options)
    return data_url(file.getvalue(), kind=kind)
