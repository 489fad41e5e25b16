"""From the bytes of a served image to the bytes that are stored. Pure: no files, no network.

    header -> sizes -> decode, JPEGs at a reduced DCT scale -> white behind alpha -> resize -> sRGB -> border
           -> turn as EXIF says -> JPEG

A JPEG of which nothing must change is stored as it is, see originals.py. All else is made from pixels alone, so places,
serial numbers, thumbnails and profiles stay behind.
"""

import re
import warnings
from io import BytesIO
from math import ceil
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import AvifImagePlugin, Image

from .color import to_srgb
from .config import Limits
from .header import Header, check_header, read_header
from .jpeg_segments import count_scans, little_is_lost, mended
from .metadata import metadata_of, metadata_of_jpeg
from .originals import may_stay
from .reasons import Refused
from .resize import Pixels, Size, Sizes, bordered, most_stored_pixels, resized, sizes_of

MARGIN = 2.0  # decode at least so much larger than stored: at 1.5 two filters in a row lose 2.5 dB beside one
EIGHTHS = range(1, 9)  # libjpeg decodes at so many eighths of the size
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object, in what Pillow says: another one in each process
SUBSAMPLING = {"full": "444", "half": "420"}
STRIP_ROWS = 64
LARGEST_JPEG_PX = 65_500  # of a side: libjpeg's JPEG_MAX_DIMENSION

# What a decoder may be asked for. A progressive file has about 10 scans; 1,000 million pixels in all take up to 0.7 s.
MAX_SCANS = 500  # what libjpeg-turbo advises
SCANS_AT_MOST_PIXELS = 20  # of an image of limits.max_pixels: CMYK has 18; a smaller one may have more
BYTES_PER_PX = 12  # of memory: coefficients and pixels of a progressive CMYK JPEG; a PNG takes 8 at most
MORE_BYTES_PER_PX = {"webp": 16, "avif": 24}  # canvases or planes of 16 bits, and two copies
STORED_BYTES_PER_PX = 8  # of the pixels that are stored, and of their JPEG

# Pillow warns of odd metadata, of which we keep none, and of sizes, which have a limit of their own here.
warnings.filterwarnings("ignore", module=r"PIL\.")
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each of more would reserve address space, which is what is bounded


class Stored(NamedTuple):
    """An image as it goes into the tar."""

    data: bytes  # JPEG, RGB or grey; the served bytes themselves where they are kept
    width: int
    height: int
    header: Header  # of the image as served


def store(data: bytes, limits: Limits) -> Stored:
    """Return the image in `data` in the size that `limits` ask for, see resize.py.

    A JPEG of that size which may stay as it is, see originals.py, is not encoded anew.

    Raises Refused: the reasons of the header again; too_many_pixels where so many would be stored; too_many_scans and
    decode_limit for what would take too much time or memory; corrupt for whatever does not decode to the end. Raises
    MemoryError where memory has a limit.
    """
    header = read_header(data, complete=True, formats=limits.formats)
    assert header is not None
    check_header(header, limits)
    sizes, served = sizes_of(header.width, header.height, limits), (header.width, header.height)
    _check_work(data, header, sizes, limits)
    if sizes == (served, served) and may_stay(data, header, originals=limits.originals):
        return Stored(data, *served, header)
    try:
        image = decode(data, header, sizes)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything at all on damaged files
        raise Refused("corrupt", _first_line(error)) from None
    pixels = np.asarray(image)
    stored = simplejpeg.encode_jpeg(pixels, limits.jpeg_quality, "RGB", SUBSAMPLING[limits.jpeg_chroma], fastdct=False)
    return Stored(stored, image.width, image.height, header)


def memory_bytes(limits: Limits) -> int:
    """Return how much memory the pixels of one image may take, as served and as stored."""
    return BYTES_PER_PX * limits.max_pixels + STORED_BYTES_PER_PX * most_stored_pixels(limits)


def _check_work(data: bytes, header: Header, sizes: Sizes, limits: Limits) -> None:
    """Raise Refused for what a small file can ask of a decoder or encoder and no ordinary picture does."""
    width, height = sizes.stored
    if width * height > limits.max_pixels or max(width, height) > LARGEST_JPEG_PX:
        raise Refused("too_many_pixels", f"{width} x {height} as stored")
    pixels, size = header.width * header.height, f"{header.width} x {header.height}"
    if header.format == "jpeg":
        most = min(MAX_SCANS, SCANS_AT_MOST_PIXELS * limits.max_pixels // pixels)
        if count_scans(data, enough=most + 1) > most:
            raise Refused("too_many_scans", f"more than {most} of {size}")
    if MORE_BYTES_PER_PX.get(header.format, 0) * pixels > BYTES_PER_PX * limits.max_pixels:
        raise Refused("decode_limit", f"{size} of {header.format}")


def decode(data: bytes, header: Header, sizes: Sizes) -> Image.Image:
    """Return the pixels that are stored: sRGB, of the stored size, the right way up. Raises anything at all."""
    least = sizes.scaled
    if least != (header.width, header.height):
        least = ceil(MARGIN * least[0]), ceil(MARGIN * least[1])
    if header.format == "jpeg" and header.channels in (1, 3):
        pixels = _decode_jpeg(data, header, least)
        turn, profile = metadata_of_jpeg(data)
    else:
        opened = Image.open(BytesIO(data), formats=[header.format])
        if opened.size != (header.width, header.height):  # a second IHDR: the limits were held against the first
            raise ValueError(f"declared twice, as {opened.width} x {opened.height} px too")
        pixels = _flatten(opened, least)
        turn, profile = metadata_of(opened)
    image = bordered(to_srgb(resized(pixels, sizes), profile), sizes.stored)
    return image if turn is None else image.transpose(turn)


def _decode_jpeg(data: bytes, header: Header, least: Size) -> Pixels:
    """Decode at the smallest scale not below `least`, or in full where there is none."""
    width, height = header.width, header.height
    eighths = next((n for n in EIGHTHS if width * n >= 8 * least[0] and height * n >= 8 * least[1]), 8)
    covered = width * eighths / 8, height * eighths / 8
    image = Image.fromarray(_decode_tolerantly(data, min_width=ceil(covered[0]), min_height=ceil(covered[1])))
    return Pixels(image, *covered)


def _decode_tolerantly(data: bytes, **scale: int) -> np.ndarray:
    """Decode without a warning, if need be after mending the headers, or with one that costs little of the picture."""
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **scale)
    except ValueError:
        data = mended(data)
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **scale)
    except ValueError as error:
        if not little_is_lost(data, str(error)):
            raise
    return simplejpeg.decode_jpeg(data, "RGB", strict=False, **scale)


def _flatten(image: Image.Image, least: Size) -> Pixels:
    """Turn any mode into RGB or CMYK, strip by strip, and by whole factors into means that stay above `least`."""
    factor = max(1, min(image.width // least[0], image.height // least[1]))
    rows = factor * max(1, STRIP_ROWS // factor)
    mode = "CMYK" if image.mode == "CMYK" else "RGB"
    whole = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(opaque(strip).reduce(factor), (0, top // factor))
    return Pixels(whole, image.width / factor, image.height / factor)


def opaque(image: Image.Image) -> Image.Image:
    """Turn any mode but CMYK into RGB, with white where there is nothing."""
    if image.mode == "CMYK":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":  # 16-bit grey: convert() would clip it to 255
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("pixels are floats, of which nobody knows the range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {ADDRESS.sub('', line)}"[:200]
