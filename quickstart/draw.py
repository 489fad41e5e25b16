"""Drawings as images: rendered from SVG at any size, encoded as the web would serve them.

The same arguments give the same bytes.
"""

import io
from typing import Literal

import numpy as np
from PIL import Image

from configs import hashed

from .names import svg_folder

Format = Literal["jpg", "png", "webp"]
# Rates, by a hash of the drawing's code. Three quarters have the 256 px that the last stage trains on.
SIZES_PX = {128: 8, 192: 8, 224: 9, 256: 25, 320: 20, 384: 15, 512: 10, 768: 5}
POSTER_PX = 256
FORMATS: dict[tuple[Format, str], int] = {
    ("jpg", "white"): 50,
    ("png", "alpha"): 20,
    ("png", "white"): 10,
    ("webp", "white"): 20,
}


def size_px(code: str) -> int:
    """Return the side at which a drawing is served, in px."""
    return _by_rate(SIZES_PX, hashed(code, "size"))


def form(code: str) -> tuple[Format, str]:
    """Return the format a drawing is served in, and what is behind it: white, or alpha for transparency."""
    return _by_rate(FORMATS, hashed(code, "format"))


def _by_rate(rates: dict, dice: int):  # type: ignore[no-untyped-def,type-arg]
    place = dice % sum(rates.values())
    for value, rate in rates.items():
        place -= rate
        if place < 0:
            return value
    raise AssertionError("rates are positive")


def render(code: str, px: int) -> Image.Image:
    """Return the drawing as an RGBA image, px by px."""
    import resvg_py

    svg = (svg_folder() / f"{code}.svg").read_text(encoding="utf-8")
    sized = svg.replace("<svg ", f'<svg width="{px}" height="{px}" ', 1)
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=sized, skip_system_fonts=True)))).convert(
        "RGBA"
    )


def on_white(image: Image.Image) -> Image.Image:
    """Return an RGBA image laid on white, as RGB."""
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def encode(image: Image.Image, file_format: Format, *, quality: int = 92) -> bytes:
    """Return the bytes of a file; cheap settings, for the drawings are many."""
    out = io.BytesIO()
    if file_format == "jpg":
        image.save(out, "JPEG", quality=quality, subsampling=0)
    elif file_format == "png":
        image.save(out, "PNG", compress_level=1)
    else:
        image.save(out, "WEBP", quality=quality, method=0)
    return out.getvalue()


def plain(code: str) -> bytes:
    """Return the drawing as its true pair's url serves it."""
    file_format, behind = form(code)
    image = render(code, size_px(code))
    return encode(image if behind == "alpha" else on_white(image), file_format)


def poster(code: str, px: int = POSTER_PX) -> Image.Image:
    """Return the drawing, small, on coloured stripes of its own: an image that is no copy of any other."""
    dice = np.random.default_rng(hashed(code, "poster"))
    stripes = dice.integers(40, 256, (8, 8, 3), np.uint8)
    paper = Image.fromarray(stripes).resize((px, px), Image.Resampling.NEAREST).convert("RGBA")
    small = render(code, px // 2)
    paper.alpha_composite(small, tuple(int(place) for place in dice.integers(0, px // 2, 2)))
    return paper.convert("RGB")
