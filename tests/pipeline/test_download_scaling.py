"""Reduced decoding changes no picture: neither shifted nor blurred beside one resize of all its pixels."""

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from pipeline.download.config import DownloadConfig, Resize
from pipeline.download.header import read_header
from pipeline.download.image import decode
from pipeline.download.resize import Sizes, sizes_of

from .download_server import encoded

MODES: tuple[Resize, ...] = ("keep_ratio_largest", "keep_ratio", "center_crop", "border")
PX = 256
SHRINK, ENLARGE = Image.Resampling.HAMMING, Image.Resampling.LANCZOS


def photo(seed: int, width: int, height: int) -> Image.Image:
    """Smoothed noise of several grains, edges, and a little noise of each pixel."""
    rng = np.random.default_rng(seed)
    pixels = 128 + rng.normal(0, 2, (height, width, 3)).astype(np.float32)
    for cells, strength in ((4, 45), (16, 22), (64, 11), (200, 5)):
        grain = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        pixels += resized(grain, (width, height), Image.Resampling.BICUBIC)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(12):
        angle, at = rng.uniform(0, 3.14), rng.uniform(0.1, 0.8)
        pixels[np.cos(angle) * columns / width + np.sin(angle) * rows / height > at] += rng.normal(0, 25, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def resized(pixels: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """Every channel resized in floats."""
    channels = [Image.fromarray(channel.astype(np.float32)).resize(size, how) for channel in np.moveaxis(pixels, -1, 0)]
    return np.stack([np.asarray(channel) for channel in channels], -1)


def psnr_db(image: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((image.astype(np.float64) - reference.clip(0, 255)) ** 2)))


def large(count: int) -> list[tuple[int, int]]:
    """No multiples of 8, and those that rounding up hurts most."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(257, 1600, (count, 2))
    some = [(int(width), int(height)) for width, height in drawn if width % 8 and height % 8]
    return [*some, (342, 257), (300, 299), (1999, 257)]


def small() -> list[tuple[int, int]]:
    return [(255, 201), (33, 97), (128, 128), (199, 60), (250, 17)]


def stored_of(scaled: np.ndarray, sizes: Sizes) -> np.ndarray:
    """The middle of a scaled image, or a white square with the image in its middle."""
    (width, height), across, down = sizes.stored, scaled.shape[1], scaled.shape[0]
    if across > width or down > height:
        top, left = (down - height) // 2, (across - width) // 2
        return scaled[top : top + height, left : left + width]
    whole = np.full((height, width, 3), 255.0, np.float32)
    top, left = (height - down) // 2, (width - across) // 2
    whole[top : top + down, left : left + across] = scaled
    return whole


@pytest.mark.long
@pytest.mark.parametrize(("filter", "served"), [(SHRINK, large(8)), (ENLARGE, small())], ids=["shrink", "enlarge"])
@pytest.mark.parametrize("resize", MODES)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_pixels_are_those_of_one_resize_in_floats(
    format: str, resize: Resize, filter: Image.Resampling, served: list[tuple[int, int]]
):
    limits = DownloadConfig(size_px=PX, resize=resize, only_if_bigger=False).limits
    worths = []
    for seed, size in enumerate(served):
        image = photo(seed, *size)
        options = {"quality": 90, "subsampling": 2 * (seed % 2)} if format == "JPEG" else {"compress_level": 1}
        data = encoded(image, format, **options)
        whole = simplejpeg.decode_jpeg(data, "RGB") if format == "JPEG" else np.asarray(image)
        header = read_header(data, complete=True)
        assert header is not None
        sizes = sizes_of(*size, limits)
        reference = stored_of(resized(whole, sizes.scaled, filter), sizes)
        worths.append(psnr_db(np.asarray(decode(data, header, sizes)), reference))
    assert np.median(worths) >= 50 and min(worths) >= 44
