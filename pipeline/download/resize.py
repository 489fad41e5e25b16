"""How large an image is stored and how it gets there. Sizes are known from the header, before any pixel is decoded.

                       what becomes size_px      the rest
    keep_ratio_largest the longest side          the other side follows
    keep_ratio         the shortest side         the other side follows
    center_crop        the shortest side         what is longer is cut off at both ends: a square
    border             the longest side          white at both ends of the other: a square
    no                 nothing                   stored as large as it is served

These are img2dataset's modes, under its names. With `only_if_bigger`, an image whose side is below size_px is stored as
large as it is served, neither cut nor bordered. All modes treat both sides alike, so EXIF may turn an image later.
"""

from typing import NamedTuple

from PIL import Image

from .config import Limits

SHRINK = Image.Resampling.HAMMING  # of Pillow's filters the nearest to the mean of the area under a pixel
ENLARGE = Image.Resampling.LANCZOS
BORDER = "white"

Size = tuple[int, int]  # width, height


class Sizes(NamedTuple):
    """What becomes of an image's size; both are that of the image where nothing must change."""

    scaled: Size  # of all the image
    stored: Size  # of what is cut from its middle, or of the square it is put in the middle of


class Pixels(NamedTuple):
    """A decoded image of which the last row and column may be covered in part only: sizes are rounded up."""

    image: Image.Image
    width: float  # of the image that is covered
    height: float


def sizes_of(width: int, height: int, limits: Limits) -> Sizes:
    """Return the sizes for an image as large as that; no side is ever 0."""
    whole, px = (width, height), limits.size_px
    side = max(whole) if limits.resize in ("keep_ratio_largest", "border") else min(whole)
    if limits.resize == "no" or (limits.only_if_bigger and side < px):
        return Sizes(whole, whole)
    scaled = max(1, round(width * px / side)), max(1, round(height * px / side))
    return Sizes(scaled, (px, px) if limits.resize in ("center_crop", "border") else scaled)


def most_stored_pixels(limits: Limits) -> int:
    """Return how many pixels an image has at most as it is stored."""
    if limits.resize == "no":
        return limits.max_pixels
    longest = limits.size_px * (limits.max_aspect if limits.resize == "keep_ratio" else 1)
    return min(limits.max_pixels, round(longest * limits.size_px))


def resized(pixels: Pixels, sizes: Sizes) -> Image.Image:
    """Return the image scaled, with what is stored of it; only that is computed. A border is not yet there."""
    if sizes.scaled == sizes.stored == pixels.image.size:
        return pixels.image  # a copy of a large one would take more memory than an image may
    width, height = min(sizes.scaled[0], sizes.stored[0]), min(sizes.scaled[1], sizes.stored[1])
    left, top = (sizes.scaled[0] - width) // 2, (sizes.scaled[1] - height) // 2
    box = (
        pixels.width * left / sizes.scaled[0],
        pixels.height * top / sizes.scaled[1],
        pixels.width * (left + width) / sizes.scaled[0],
        pixels.height * (top + height) / sizes.scaled[1],
    )
    enlarged = sizes.scaled[0] > pixels.width or sizes.scaled[1] > pixels.height
    return pixels.image.resize((width, height), ENLARGE if enlarged else SHRINK, box=box)


def bordered(image: Image.Image, stored: Size) -> Image.Image:
    """Return an RGB image in the middle of a white one of the stored size."""
    if image.size == stored:
        return image
    whole = Image.new("RGB", stored, BORDER)
    whole.paste(image, ((stored[0] - image.width) // 2, (stored[1] - image.height) // 2))
    return whole
