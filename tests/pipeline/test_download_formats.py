"""Formats beyond the web's three are named, and taken where that is asked for: their first frame, the right way up."""

import contextlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.download.config import DownloadConfig, Format
from pipeline.download.further_formats import brand_of
from pipeline.download.header import Header, read_header
from pipeline.download.image import store
from pipeline.download.reasons import Refused
from storage import tar

from .download_server import Page, download, drawing, encoded, serve
from .test_download_color import DISPLAY_P3

ALL: tuple[Format, ...] = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")
LIMITS = DownloadConfig(formats=ALL).limits
IMAGE = drawing(1, 123, 45)
LONG_EXIF = Image.Exif()
LONG_EXIF[0x010E] = "x" * 5000
SHEER = IMAGE.convert("RGBA")
SHEER.putalpha(0)
SECOND = {"save_all": True, "append_images": [drawing(2, 123, 45)]}
FILES = {
    "gif": encoded(IMAGE, "GIF"),
    "gif of two frames": encoded(IMAGE, "GIF", **SECOND),
    "bmp": encoded(IMAGE, "BMP"),
    "bmp grey": encoded(IMAGE.convert("L"), "BMP"),
    "tiff": encoded(IMAGE, "TIFF"),
    "tiff packed": encoded(IMAGE, "TIFF", compression="tiff_lzw"),
    "tiff of two pages": encoded(IMAGE, "TIFF", **SECOND),
    "avif": encoded(IMAGE, "AVIF", quality=90),
    "avif of four channels": encoded(IMAGE.convert("RGBA"), "AVIF", quality=90),
    "avif with EXIF": encoded(IMAGE, "AVIF", quality=90, exif=LONG_EXIF),
}
MOVING = encoded(IMAGE, "AVIF", **SECOND)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (4 + len(body)).to_bytes(4, "big") + body + bytes(40)


@pytest.mark.parametrize("name", FILES)
def test_a_size_is_read_as_the_decoder_will_find_it(name: str):
    data, expected = FILES[name], Header(name.split()[0], 123, 45)
    known = [read_header(data[:size], complete=False, formats=ALL) for size in range(0, len(data), 31)]
    assert set(known) <= {None, expected}
    assert read_header(data, complete=True, formats=ALL) == expected
    assert Image.open(BytesIO(data)).size == expected[1:3]


@pytest.mark.parametrize("name", FILES)
def test_unasked_it_is_refused_by_its_name_and_at_once(name: str):
    for data, complete in ((FILES[name][:60], False), (FILES[name], True)):
        with pytest.raises(Refused, match="bad_format") as refused:
            read_header(data, complete=complete)
        assert refused.value.detail == name.split()[0]


def test_the_usual_formats_can_be_left_out():
    with pytest.raises(Refused, match="bad_format") as refused:
        store(encoded(IMAGE, "WEBP"), DownloadConfig(formats=("jpeg", "png")).limits)
    assert refused.value.detail == "webp"


@pytest.mark.parametrize("name", FILES)
def test_the_first_frame_is_stored(name: str):
    stored = store(FILES[name], LIMITS)
    expected = IMAGE.convert("L").convert("RGB") if "grey" in name else IMAGE
    difference = tar.decode(stored.data).astype(int) - np.asarray(expected)
    assert np.abs(difference).mean() < (12 if "gif" in name else 3)  # of few colours


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["TIFF", "AVIF"])
def test_orientation_and_colours_are_those_of_any_other_format(format: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = store(encoded(IMAGE, "PNG", exif=exif, icc_profile=DISPLAY_P3), LIMITS)
    stored = store(encoded(IMAGE, format, exif=exif, icc_profile=DISPLAY_P3, quality=95), LIMITS)
    assert (stored.width, stored.height) == (expected.width, expected.height)
    assert np.abs(tar.decode(stored.data).astype(int) - tar.decode(expected.data)).mean() < 3


@pytest.mark.parametrize("format", ["GIF", "TIFF", "AVIF"])
def test_white_shows_through(format: str):
    assert tar.decode(store(encoded(SHEER, format), LIMITS).data).min() > 250


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (ftyp(b"avif", b"mif1", b"miaf"), "avif"),
        (ftyp(b"mif1", b"avif"), "avif"),
        (ftyp(b"heic", b"mif1"), "heic"),
        (ftyp(b"mif1", b"heic"), "heic"),
        (ftyp(b"hevc"), "heic"),
        (ftyp(b"mif1"), "heif"),
        (ftyp(b"isom", b"avc1", b"mp41"), "video"),
        (ftyp(b"qt  "), "video"),
        (ftyp(b"mif1", b"abcd")[:22], "heif"),
    ],
)
def test_brands_have_names(data: bytes, name: str):
    with pytest.raises(Refused, match="bad_format") as refused:
        read_header(data, complete=True)
    assert refused.value.detail == name


def test_a_brand_is_named_when_all_of_them_are_there():
    data = ftyp(b"mif1", b"miaf", b"avif")
    named = [brand_of(data[:size], complete=False) for size in range(16, len(data))]
    assert named == [None] * (24 - 16) + ["avif"] * (len(data) - 24)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (MOVING, "bad_format"),
        (FILES["avif"][:-20], "corrupt"),
        (FILES["avif"][:100], "corrupt"),
        (FILES["tiff"][:6], "corrupt"),
        (FILES["tiff"][:100], "corrupt"),
        (FILES["gif"][:9], "corrupt"),
        (FILES["bmp"][:-3000], "corrupt"),
        (FILES["bmp"][:18] + b"\xff\xff\0\0\xff\xff\0\0" + FILES["bmp"][26:], "too_many_pixels"),
        (FILES["gif"][:6] + b"\xff\xff\xff\xff" + FILES["gif"][10:], "too_many_pixels"),
        (encoded(Image.new("F", (20, 20)), "TIFF"), "corrupt"),
    ],
)
def test_what_is_damaged_or_too_large_is_refused(data: bytes, reason: str):
    with pytest.raises(Refused, match=reason):
        store(data, LIMITS)


@given(st.binary(max_size=300), st.sampled_from(sorted(FILES)), st.integers(0, 400))
def test_no_bytes_make_a_header_reader_stumble(data: bytes, name: str, size: int):
    for complete in (False, True):
        with contextlib.suppress(Refused):
            read_header(FILES[name][:size] + data, complete=complete, formats=ALL)


def test_a_shard_holds_them_beside_all_others(tmp_path: Path):
    pages = {f"h.test/{number}": Page(data) for number, data in enumerate(FILES.values())}
    with serve(pages) as web_:
        rows = download(tmp_path, web_, [f"http://{where}" for where in pages], formats=ALL)
    assert [(row["status"], row["format"], row["original_width"]) for row in rows] == [
        ("ok", name.split()[0], 123) for name in FILES
    ]
