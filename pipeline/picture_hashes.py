"""A list of PDQ hashes of pictures in folders, in all 8 orientations: what an evaluation shows, or what nobody wants.

hash,type,orientation,name
0f0f...,pdq,0,val2017/000000000139.jpg

A picture is hashed as a run stores it, with white where it is transparent. Each orientation is hashed as it is, so that
a turned or mirrored copy is as near as an upright one.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from configs import UserError, printable
from filters.base import Batch
from filters.pdq import Pdq, PdqConfig
from storage.atomic import commit

from .download.image import opaque

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
HEAD = "hash,type,orientation,name"
MIN_QUALITY = 50  # flatter pictures have no hash worth comparing


def write_hashes(folders: list[Path], to: Path) -> tuple[int, int]:
    """Write the list; return how many pictures it names, and how many are too flat or cannot be read."""
    paths = [path for folder in folders for path in _pictures(folder)]
    if not paths:
        raise UserError(f"{', '.join(map(str, folders))}: no picture there ({' '.join(ENDINGS)})")
    scorer, lines, named = Pdq(PdqConfig()), [HEAD], 0
    for path in paths:
        rows = [f"{value},pdq,{number},{printable(str(path))}" for number, value in _hashes(path, scorer)]
        lines += rows
        named += bool(rows)
    if not named:
        raise UserError(f"{len(paths)} pictures are too flat for a hash or cannot be read; {to} is not written")
    commit(to, lambda scratch: scratch.write_text("\n".join([*lines, ""]), encoding="utf-8"))
    return named, len(paths) - named


def _pictures(folder: Path) -> list[Path]:
    if not folder.exists():
        raise UserError(f"{folder} is not there")
    found = [folder] if folder.is_file() else folder.rglob("*")
    return sorted(path for path in found if path.suffix.lower() in ENDINGS and path.is_file())


def _hashes(path: Path, scorer: Pdq) -> Iterator[tuple[int, str]]:
    """Yield the number and the hash of each orientation; none of a picture that is too flat or cannot be read."""
    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opaque(ImageOps.exif_transpose(opened)).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return
    upright = [np.rot90(pixels, turns) for turns in range(4)]
    found = scorer(Batch(images=[*upright, *(np.fliplr(image) for image in upright)]))
    if min(found["pdq_quality"]) >= MIN_QUALITY:
        yield from ((number, value.hex()) for number, value in enumerate(found["pdq"]))
