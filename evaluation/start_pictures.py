"""Pictures that a first stage which enlarges begins with, instead of those of a stage below it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cascade.resize import fit
from cascade.stage import StageConfig
from configs import UserError
from pipeline.download.color import to_srgb
from pipeline.download.image import opaque


def read_start(files: Sequence[Path], stage: StageConfig, *, count: int) -> np.ndarray | None:
    """Return the start of `count` pictures, (count, px, px, 3) uint8 RGB at the stage's low-res size; None of no file.

    files: one for each picture, or one for all. Each is seen as a run stores it: turned as its EXIF says, in sRGB, with
    white where it is transparent; and its middle square made small by the kernel of training. Raises UserError where
    there are too few or too many, or one is no picture of that size.
    """
    px = stage.low_res_px
    if px is None:
        if files:
            raise UserError(f"{stage.name} starts from noise; a start picture is for a first stage that enlarges")
        return None
    if not files:
        raise UserError(f"{stage.name} enlarges {px} px: name the stage below it first, or give --start PICTURE")
    if len(files) not in (1, count):
        raise UserError(f"--start takes one picture for all, or one for each of {count} captions; got {len(files)}")
    starts = [_read(file, px) for file in files]
    return np.stack(starts * (count if len(starts) == 1 else 1))


def _read(file: Path, px: int) -> np.ndarray:
    try:
        with Image.open(file) as image:
            upright = opaque(ImageOps.exif_transpose(image))
            pixels = np.array(to_srgb(upright, image.info.get("icc_profile")))
    except FileNotFoundError:
        raise UserError(f"--start {file}: no such picture") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"--start {file} is no picture that can be read: {error}") from None
    if min(pixels.shape[:2]) < px:
        height, width = pixels.shape[:2]
        raise UserError(f"--start {file} has {width} x {height} px; both sides must have {px} at least")
    return fit(pixels, px=px).permute(1, 2, 0).numpy()
