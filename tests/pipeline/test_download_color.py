"""Pictures with a colour profile are stored as sRGB; a profile that is sRGB or broken changes nothing."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.download.config import DownloadConfig
from pipeline.download.image import store

from .download_server import drawing, encoded

LIMITS = DownloadConfig().limits
GAMMA = 2.19921875  # as a fixed-point number, 563 / 256
WHITE = (0.9642, 1.0, 0.8249)  # D50, as all profiles have it
P3 = np.array(
    [[0.5151, 0.2919, 0.1572], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)  # red, green, blue to XYZ
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile of version 2: ICC.1:2001-04, 6.1 and 6.2."""
    table, body = struct.pack(">I", len(tags)), b""
    first = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, first + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = first + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + xyz(WHITE)[8:]
    return head.ljust(128, b"\0") + table + body


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def description(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)


CURVE = b"curv" + bytes(4) + struct.pack(">IH", 1, round(GAMMA * 256))
COMMON = {b"desc": description(b"test"), b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": xyz(WHITE)}
COLUMNS = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), (xyz(tuple(column)) for column in P3.T), strict=True))
DISPLAY_P3 = profile(b"RGB ", {**COMMON, **COLUMNS, b"rTRC": CURVE, b"gTRC": CURVE, b"bTRC": CURVE})
DARK_CURVE = b"curv" + bytes(4) + struct.pack(">IH", 1, 256)  # linear light
LINEAR_GREY = profile(b"GRAY", {**COMMON, b"kTRC": DARK_CURVE})


def in_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to 0..255: IEC 61966-2-1."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def p3_in_srgb(colour: tuple[int, int, int]) -> np.ndarray:
    return in_srgb(np.linalg.inv(SRGB) @ P3 @ (np.array(colour) / 255) ** GAMMA)


def middle(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(store(data, LIMITS).data)), np.float32)[20, 20]


@pytest.mark.parametrize("colour", [(200, 100, 50), (60, 180, 90), (128, 128, 128), (230, 40, 60)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_wide_gamut_becomes_srgb(format: str, colour: tuple[int, int, int]):
    data = encoded(Image.new("RGB", (300, 40), colour), format, quality=100, icc_profile=DISPLAY_P3)
    assert np.abs(middle(data) - p3_in_srgb(colour)).max() < 5


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_grey_has_profiles_of_its_own(format: str):
    data = encoded(Image.new("L", (40, 40), 64), format, icc_profile=LINEAR_GREY)
    assert np.abs(middle(data) - in_srgb(np.array(64 / 255))).max() < 3


@pytest.mark.parametrize(
    "profile", [SRGB_PROFILE, b"", b"junk" * 50, DISPLAY_P3[:300], DISPLAY_P3[:16] + b"what" + DISPLAY_P3[20:]]
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_srgb_and_broken_profiles_change_nothing(format: str, profile: bytes):
    image = drawing(5, 400, 300)
    assert store(encoded(image, format, icc_profile=profile), LIMITS).data == store(encoded(image, format), LIMITS).data


def test_a_profile_for_other_channels_is_ignored():
    image = drawing(5, 400, 300)
    for mode, foreign in (("CMYK", DISPLAY_P3), ("CMYK", LINEAR_GREY)):
        of_mode = image.convert(mode)
        data = encoded(of_mode, quality=95, icc_profile=foreign)
        assert store(data, LIMITS).data == store(encoded(of_mode, quality=95), LIMITS).data


def test_a_profile_and_alpha():
    data = encoded(Image.new("RGBA", (40, 40), (200, 100, 50, 0)), "PNG", icc_profile=DISPLAY_P3)
    assert middle(data).min() > 252
