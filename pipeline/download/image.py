"""From the bytes of a served image to the bytes that are stored. Pure: no files, no network.

    header -> decode, JPEGs at a reduced DCT scale -> shrink -> turn as EXIF says -> white behind alpha -> JPEG

What is stored is made from pixels alone, so places, serial numbers, thumbnails and profiles stay behind.
"""

import re
import warnings
from io import BytesIO
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from .config import Limits
from .header import Header, check_header, read_header
from .reasons import Refused

ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DCT_MARGIN = 1.5  # decode at least so much larger than stored: below that, two filters in a row blur
WHOLE = "extraneous bytes before marker 0xd9"  # junk after the last pixel: nothing is lost
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object, in what Pillow says: another one in each process
SUBSAMPLING = {"full": "444", "half": "420"}

# Pillow warns of odd metadata, of which we keep none, and of sizes, which have a limit of their own here.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Stored(NamedTuple):
    """An image as it goes into the tar."""

    data: bytes  # JPEG, RGB
    width: int
    height: int
    header: Header  # of the image as served


def store(data: bytes, limits: Limits) -> Stored:
    """Return the image in `data`, at most `limits.max_side_px` on its longest side and never enlarged.

    Raises Refused: the reasons of the header again, and corrupt for whatever does not decode to the end.
    """
    header = read_header(data, complete=True)
    assert header is not None
    check_header(header, limits)
    try:
        image = _decode(data, header, limits.max_side_px)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything at all on damaged files
        raise Refused("corrupt", _first_line(error)) from None
    pixels = np.asarray(image)
    stored = simplejpeg.encode_jpeg(pixels, limits.jpeg_quality, "RGB", SUBSAMPLING[limits.jpeg_chroma], fastdct=False)
    return Stored(stored, image.width, image.height, header)


def fit(width: int, height: int, *, max_side_px: int) -> tuple[int, int]:
    """Return (width, height) of the same shape, the longest side at most `max_side_px`; never larger, never 0."""
    longest = max(width, height)
    if longest <= max_side_px:
        return width, height
    scale = max_side_px / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decode(data: bytes, header: Header, max_side_px: int) -> Image.Image:
    """Decode to RGB of the stored size, the right way up."""
    size = fit(header.width, header.height, max_side_px=max_side_px)
    if header.format == "jpeg" and header.channels in (1, 3):
        image = _decode_jpeg(data, header, size)
    else:
        opened = Image.open(BytesIO(data), formats=[header.format])
        if opened.size != (header.width, header.height):  # a second IHDR: the limits were held against the first
            raise ValueError(f"declared twice, as {opened.width} x {opened.height} px too")
        image = _opaque(opened)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    turn = TURNS.get(_orientation(data, header.format))
    return image if turn is None else image.transpose(turn)


def _decode_jpeg(data: bytes, header: Header, size: tuple[int, int]) -> Image.Image:
    """Decode at the smallest DCT scale not below DCT_MARGIN times `size`, or in full where there is none."""
    least = [
        min(full, round(DCT_MARGIN * side)) for full, side in zip((header.width, header.height), size, strict=True)
    ]
    whole = size == (header.width, header.height)
    scale = {} if whole else {"min_width": least[0], "min_height": least[1]}
    try:
        return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", **scale))
    except ValueError as error:
        if WHOLE not in str(error):
            raise
        return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", strict=False, **scale))


def _opaque(image: Image.Image) -> Image.Image:
    """Turn any mode into RGB, with white where there is nothing."""
    if image.mode.startswith("I;16") or image.mode == "I":  # 16-bit grey: convert() would clip it to 255
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _orientation(data: bytes, format: str) -> int:
    try:
        return int(Image.open(BytesIO(data), formats=[format]).getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata is no reason to lose the image
        return 1


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {ADDRESS.sub('', line)}"[:200]
