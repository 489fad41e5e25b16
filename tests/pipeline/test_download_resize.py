"""The resize modes make the sizes and, as stored, the pixels of img2dataset's own resizer."""

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from configs import UserError, resolve
from pipeline.download.config import DownloadConfig, Limits, Resize
from pipeline.download.image import store
from pipeline.download.img2dataset_engine import _arguments
from pipeline.download.reasons import Refused
from pipeline.download.resize import sizes_of
from storage import tar

from .download_server import drawing, encoded
from .test_download_scaling import MODES, PX, large, photo, psnr_db, stored_of

Resizer = Callable[..., Any]
SIZES = [(700, 301), (256, 256), (256, 100), (100, 50), (255, 1000), (511, 300), (257, 256), (20, 900), (1, 1)]


@pytest.fixture(scope="module")
def resizer() -> Resizer:
    """img2dataset's, which needs a module that Python 3.13 has no more, and warns of it and of others."""
    pytest.importorskip("imghdr")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        warnings.simplefilter("ignore")
        return pytest.importorskip("img2dataset.resizer").Resizer


def limits_of(**values: Any) -> Limits:
    return DownloadConfig.model_validate({"size_px": PX, "max_aspect": 10_000, **values}).limits


def as_library(resizer: Resizer, data: bytes, limits: Limits) -> tuple[bytes, tuple[int, int]]:
    """What img2dataset stores, and its size."""
    library = resizer(limits.size_px, limits.resize, limits.only_if_bigger, encode_quality=limits.jpeg_quality)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored, width, height, *_, problem = library(BytesIO(data))
    assert problem is None
    return stored, (width, height)


@pytest.mark.parametrize("only_if_bigger", [True, False])
@pytest.mark.parametrize("resize", [*MODES, "no"])
def test_sizes_are_those_of_img2dataset(resizer: Resizer, resize: Resize, only_if_bigger: bool):
    limits = limits_of(resize=resize, only_if_bigger=only_if_bigger)
    sides = {"center_crop": min, "border": max}
    for size in [*SIZES, *(size[::-1] for size in SIZES)]:
        data = encoded(drawing(1, *size))
        expected = as_library(resizer, data, limits)[1]
        if only_if_bigger and resize in sides and sides[resize](size) == PX:  # to the library, no larger than asked for
            assert expected == size
            expected = (PX, PX)
        stored = store(data, limits)
        assert (stored.width, stored.height) == Image.open(BytesIO(stored.data)).size == expected, size


@pytest.mark.parametrize("resize", MODES)
def test_what_is_stored_is_as_near_to_the_area_mean_as_what_img2dataset_stores(resizer: Resizer, resize: Resize):
    cv2 = pytest.importorskip("cv2")
    limits = limits_of(resize=resize)
    for seed, size in enumerate(large(6)):
        data = encoded(photo(seed, *size), quality=90)
        sizes = sizes_of(*size, limits)
        whole = simplejpeg.decode_jpeg(data, "RGB").astype(np.float32)
        area = stored_of(cv2.resize(whole, sizes.scaled, interpolation=cv2.INTER_AREA), sizes)
        ours, theirs = (
            psnr_db(tar.decode(jpeg), area) for jpeg in (store(data, limits).data, as_library(resizer, data, limits)[0])
        )
        assert ours >= theirs - 1, size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", [*MODES, "no"])
def test_an_image_may_be_turned_in_every_mode(resize: Resize, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    limits = limits_of(resize=resize)
    turn = [None, 0, 3, 1, 5, 4, 6, 2][orientation - 1]  # Pillow's numbers of the transpositions
    upright = store(encoded(drawing(3, 700, 400), "PNG"), limits)
    expected = Image.fromarray(tar.decode(upright.data))
    expected = expected if turn is None else expected.transpose(Image.Transpose(turn))
    stored = store(encoded(drawing(3, 700, 400), "PNG", exif=exif), limits)
    assert (stored.width, stored.height) == expected.size
    difference = tar.decode(stored.data).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < 2


def test_borders_are_white_whatever_the_colours_of_the_file():
    for image in (drawing(4, 600, 200).convert("CMYK"), drawing(4, 600, 200), drawing(4, 600, 200).convert("L")):
        pixels = tar.decode(store(encoded(image), limits_of(resize="border")).data)
        assert pixels.shape == (PX, PX, 3)
        assert min(pixels[:80].min(), pixels[-80:].min()) > 252


@pytest.mark.parametrize(
    ("values", "served", "detail"),
    [
        ({"resize": "no"}, (66_000, 2), "66000 x 2 as stored"),
        ({"resize": "keep_ratio", "only_if_bigger": False}, (2, 600), "256 x 76800 as stored"),
        ({"resize": "border", "only_if_bigger": False, "size_px": 10_000}, (9, 9), "10000 x 10000 as stored"),
    ],
)
def test_what_would_be_stored_too_large_is_refused(values: dict[str, Any], served: tuple[int, int], detail: str):
    with pytest.raises(Refused, match="too_many_pixels") as refused:
        store(encoded(Image.new("L", served), "PNG"), limits_of(**{"max_aspect": 100_000, **values}))
    assert refused.value.detail == detail


def test_img2dataset_is_asked_for_the_same(tmp_path: Path):
    arguments = _arguments(DownloadConfig(resize="center_crop", size_px=99, only_if_bigger=False), 1, tmp_path)
    expected = {"resize_mode": "center_crop", "image_size": 99, "resize_only_if_bigger": False}
    assert arguments.items() >= expected.items()


def test_the_former_name_of_the_size_is_read():
    assert resolve(DownloadConfig, {"max_side_px": 99}) == DownloadConfig(size_px=99)
    with pytest.raises(UserError, match="say size_px alone"):
        resolve(DownloadConfig, {"max_side_px": 99, "size_px": 99})
    with pytest.raises(UserError, match="resize: Input should be"):
        resolve(DownloadConfig, {"resize": "crop"})
