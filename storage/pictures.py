"""Pictures that people asked for: a PNG for each caption and stage, which says of itself how it was drawn.

samples/a-red-apple-0.sr64.png    Description  the caption      Software, Creation Time
                                  corgi        all of it as JSON: caption, seed, stages with digests and samplers, ...

The text chunks hold for any caption: JSON is ASCII, and what no text may hold (controls, halves of surrogates) is
escaped there and U+FFFD in the description.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from .atomic import commit

ABOUT = "corgi"  # key of the text chunk
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_PIXELS = 64_000_000  # of a picture that is read back


class Picture(NamedTuple):
    """What a PNG says of itself."""

    path: Path
    caption: str
    seed: int
    stage: str
    about: dict[str, Any]  # all of it, see `write_picture`


def write_picture(path: Path, image: Image.Image, about: Mapping[str, Any]) -> None:
    """Commit a PNG. about: what is told of it; caption, drawn_at and software stand in chunks of their own, too."""
    text = PngInfo()
    for key, name in (("Description", "caption"), ("Creation Time", "drawn_at"), ("Software", "software")):
        if name in about:
            text.add_itxt(key, UNPRINTABLE.sub("\ufffd", str(about[name])))
    text.add_text(ABOUT, json.dumps(about, sort_keys=True))
    commit(path, lambda scratch: image.save(scratch, "PNG", pnginfo=text))


def read_about(path: Path) -> dict[str, Any]:
    """Return what a PNG says of itself; empty where it is none of ours, or no PNG."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if not isinstance(image, PngImageFile) or image.width * image.height > MAX_PIXELS:
                return {}
            about = json.loads(image.text.get(ABOUT, "{}"))
    except (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError):
        return {}
    return about if isinstance(about, dict) else {}


def pictures_in(folder: Path) -> Iterator[Picture]:
    """Yield the pictures of a folder that say which caption they show, the last drawn first."""
    told = [(path, read_about(path)) for path in sorted(folder.glob("*.png"))]
    for path, about in sorted(told, key=lambda pair: (str(pair[1].get("drawn_at")), pair[0].name), reverse=True):
        caption, seed, stage = (about.get(name) for name in ("caption", "seed", "stage"))
        if isinstance(caption, str) and isinstance(seed, int) and isinstance(stage, str):
            yield Picture(path, caption, seed, stage, about)


def read_pixels(path: Path) -> np.ndarray:
    """Return (height, width, 3) uint8."""
    with Image.open(path, formats=["PNG"]) as image:
        return np.array(image.convert("RGB"))  # one that may be written to


def contact_sheet(images: Sequence[np.ndarray], *, columns: int, px: int) -> Image.Image:
    """Return one picture of (h, w, 3) uint8 images, each made px x px, row by row on white."""
    sheet = Image.new("RGB", (columns * px, -(-len(images) // columns) * px), "white")
    for number, pixels in enumerate(images):
        small = Image.fromarray(pixels).resize((px, px), Image.Resampling.BOX)
        sheet.paste(small, (number % columns * px, number // columns * px))
    return sheet
