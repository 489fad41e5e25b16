"""Served pictures become stored ones: size, orientation, alpha, modes, nothing but pixels."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pipeline.download.config import DownloadConfig, Limits
from pipeline.download.image import store
from pipeline.download.reasons import Refused
from pipeline.download.resize import sizes_of

from .download_server import drawing, encoded

LIMITS = DownloadConfig(size_px=256, max_aspect=10_000).limits


def stored(data: bytes, limits: Limits = LIMITS) -> Image.Image:
    """What is stored for these bytes."""
    result = store(data, limits)
    image = Image.open(BytesIO(result.data))
    image.load()
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (result.width, result.height))
    return image


def difference(one: Image.Image, two: Image.Image) -> float:
    """Mean absolute difference, of 255."""
    assert one.size == two.size
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(two.convert("RGB"), np.float32)).mean())


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (768, 576, (256, 192)),
        (576, 768, (192, 256)),
        (256, 256, (256, 256)),
        (257, 100, (256, 100)),
        (9000, 10, (256, 1)),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_longest_side_fits_and_the_shape_stays(format: str, width: int, height: int, expected: tuple[int, int]):
    assert stored(encoded(drawing(1, width, height), format)).size == expected


@pytest.mark.parametrize("size", [(255, 200), (64, 48), (1, 1), (3, 200)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_nothing_is_enlarged_unasked(format: str, size: tuple[int, int]):
    assert stored(encoded(drawing(1, *size), format)).size == size


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("side", [128, 300, 512, 768, 1500])
def test_colours_stay_at_every_scale(format: str, side: int):
    image = drawing(2, side, side)
    small = image.resize(sizes_of(side, side, LIMITS).scaled, Image.Resampling.LANCZOS)
    assert difference(stored(encoded(image, format)), small) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied(format: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = drawing(3, 400, 300)
    turn = [None, 0, 3, 1, 5, 4, 6, 2][orientation - 1]  # Pillow's numbers of the transpositions
    expected = image.resize((256, 192), Image.Resampling.BICUBIC)
    expected = expected if turn is None else expected.transpose(Image.Transpose(turn))
    assert difference(stored(encoded(image, format, exif=exif)), expected) < 3


def test_nothing_but_pixels_is_stored():
    exif = Image.Exif()
    exif[0x010F] = "MARKED"
    exif.get_ifd(0x8825)[1] = "MARKED"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(drawing(4), exif=exif, comment=b"MARKED", xmp=b"<x>MARKED</x>", icc_profile=profile)
    assert data.count(b"MARKED") >= 3
    result = store(data, LIMITS).data
    assert b"MARKED" not in result and b"Exif" not in result and b"ICC" not in result


def test_white_shows_through_alpha():
    image = drawing(5, 100, 80).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((100, 80)))
    expected = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    for format in ("PNG", "WEBP"):
        assert (
            difference(stored(encoded(image, format, **({"lossless": True} if format == "WEBP" else {}))), expected) < 3
        )


def test_white_shows_through_palette_grey_and_colour_key():
    palette = Image.new("P", (32, 32), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for image, key in (
        (palette, 0),
        (Image.new("L", (32, 32), 7), 7),
        (Image.new("RGB", (32, 32), (1, 2, 3)), (1, 2, 3)),
    ):
        data = encoded(image, "PNG", transparency=key)
        assert np.asarray(stored(data)).min() > 250, image.mode
    grey = Image.merge("LA", (Image.new("L", (32, 32), 0), Image.new("L", (32, 32), 128)))
    assert abs(float(np.asarray(stored(encoded(grey, "PNG"))).mean()) - 127) < 2


def test_sixteen_bit_grey_keeps_its_shades():
    ramp = np.tile(np.linspace(0, 65535, 200).astype(np.uint16), (50, 1))
    image = stored(encoded(Image.fromarray(ramp), "PNG"))
    assert np.abs(np.asarray(image, np.float32)[25, :, 0] - ramp[0] / 257).max() < 4


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_modes_become_rgb(mode: str):
    image = drawing(6, 100, 80).convert(mode)
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG", **({"quality": 95} if mode == "CMYK" else {}))
    assert difference(stored(data), image.convert("RGB")) < (12 if mode == "1" else 4)


def test_a_grey_jpeg_becomes_rgb():
    image = drawing(6).convert("L")
    assert difference(stored(encoded(image)), image.resize((256, 192), Image.Resampling.BICUBIC)) < 3


JPEG = encoded(drawing(7, 640, 480), quality=90)
DAMAGED = {
    "half a jpeg": JPEG[: len(JPEG) // 2],
    "a jpeg without its last bytes": JPEG[:-40],
    "a jpeg with a hole": JPEG[:4000] + bytes(300) + JPEG[4300:],
    "a jpeg of nothing but a header": JPEG[:700],
    "a jpeg cut inside its header": JPEG[:30],
    "half a png": (png := encoded(drawing(7), "PNG"))[: len(png) // 2],
    "a png whose sizes have a wrong checksum": png[:29] + bytes(4) + png[33:],
    "a png of nothing but its sizes": png[:33],
    "a png wider than any": png[:16] + b"\xff" * 4 + png[20:],
    "a png with a hole": png[:3000] + bytes(300) + png[3300:],
    "half a webp": (webp := encoded(drawing(7), "WEBP"))[: len(webp) // 2],
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_pictures_are_corrupt(data: bytes):
    details = set()
    for _ in range(2):
        with pytest.raises(Refused, match="corrupt") as refused:
            store(data, LIMITS)
        details.add(refused.value.detail)
    assert len(details) == 1  # it is stored beside the pair, so nothing of this process may be in it


def test_a_second_size_is_no_way_around_the_limits():
    small, large = encoded(drawing(7, 40, 40), "PNG"), encoded(drawing(7, 900, 900), "PNG")
    with pytest.raises(Refused, match="corrupt"):
        store(small[:33] + large[8:], DownloadConfig(max_pixels=10_000).limits)


def test_junk_behind_a_whole_jpeg_does_no_harm():
    whole = store(JPEG, LIMITS)
    assert store(JPEG + b"junk" * 100, LIMITS).data == whole.data
    assert difference(stored(JPEG[:-2] + bytes(5) + JPEG[-2:]), Image.open(BytesIO(whole.data))) < 1


def test_broken_metadata_is_no_reason_to_lose_a_picture():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 50
    data = JPEG[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + JPEG[2:]
    assert store(data, LIMITS).data == store(JPEG, LIMITS).data


def test_a_text_chunk_that_unpacks_to_much_is_refused():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * 5_000_000, zip=True)
    data = encoded(drawing(8), "PNG", pnginfo=info)
    assert len(data) < 500_000
    with pytest.raises(Refused, match="corrupt"):
        store(data, LIMITS)


def test_halved_colour_is_a_choice():
    data = encoded(drawing(9, 700, 500))
    half = store(data, DownloadConfig(jpeg_chroma="half").limits)
    assert len(half.data) < len(store(data, LIMITS).data)
    assert difference(Image.open(BytesIO(half.data)), stored(data)) < 3


def test_equal_bytes_are_stored_as_equal_bytes():
    for format in ("JPEG", "PNG", "WEBP"):
        data = encoded(drawing(9, 700, 500), format)
        assert store(data, LIMITS) == store(data, LIMITS)
