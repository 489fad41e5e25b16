"""Pictures of the page: thumbnails within it, as long as there is room, and whole ones in a folder beside it.

report/index.html           thumbnails as data: urls, WebP or, where every pixel is to be seen, PNG
report/images/<digest>.webp    the whole picture that a thumbnail leads to; never one that the page hides
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from storage.atomic import commit_bytes

from .render import data_url

IMAGES = "images"  # folder beside the page
PIXELATED_PX = 32  # pictures up to this side are shown exactly, as the squares they are
LOSSLESS_PX = 128  # whole pictures up to this side are kept exactly
ROOMS = {"mine": 330_000, "samples": 330_000, "grids": 300_000, "cards": 330_000, "kept": 90_000}  # bytes of the page


class Album:
    """The pictures of one page. Each part of it has its own room, so that none takes that of another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left = dict(ROOMS)
        self._whole: dict[str, bytes] = {}

    def is_full(self, part: str) -> bool:
        """Tell whether the thumbnails of a part have taken their room."""
        return self.left[part] <= 0

    def thumbnail(self, pixels: np.ndarray, px: int, *, part: str) -> str:
        """Return (h, w, 3) uint8 as a data: url, at most `px` on its longest side."""
        image = Image.fromarray(pixels)
        if max(image.size) > px:
            image.thumbnail((px, px))
        is_small = max(image.size) <= PIXELATED_PX
        url = data_url(_png(image) if is_small else _webp(image, quality=66), kind="png" if is_small else "webp")
        self.left[part] -= len(url)
        return url

    def whole(self, pixels: np.ndarray) -> str:
        """Return the url, from the page, of the whole picture."""
        image = Image.fromarray(pixels)
        data = _webp(image, lossless=True) if max(image.size) <= LOSSLESS_PX else _webp(image, quality=90)
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.webp"
        self._whole[name] = data
        return f"{IMAGES}/{name}"

    def commit(self) -> None:
        """Write the whole pictures, and remove those of an earlier page."""
        folder = self.folder / IMAGES
        for name, data in self._whole.items():
            if not (folder / name).exists():
                commit_bytes(folder / name, data)
        for path in folder.glob("*.webp"):
            if path.name not in self._whole:
                path.unlink()


def _webp(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", method=4, **options)
    return file.getvalue()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
