"""What the first bytes and the headers of an answer say: formats, sizes, opt-outs, Retry-After."""

import contextlib
import itertools
import struct
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.download.body import MAX_HEADER_BYTES, Body
from pipeline.download.config import OPT_OUTS, DownloadConfig
from pipeline.download.header import Header, check_header, read_header
from pipeline.download.host_limits import retry_after_s
from pipeline.download.opt_outs import opted_out
from pipeline.download.reasons import Refused

from .download_server import drawing, encoded

IMAGE = drawing(1, 123, 45)
BIG_EXIF = Image.Exif()
BIG_EXIF[0x010E] = "x" * 60_000
PICTURES = {
    "jpeg": encoded(IMAGE),
    "jpeg progressive": encoded(IMAGE, progressive=True),
    "jpeg with much before": encoded(IMAGE, exif=BIG_EXIF, icc_profile=bytes(100_000)),
    "jpeg grey": encoded(IMAGE.convert("L")),
    "png": encoded(IMAGE, "PNG"),
    "png palette": encoded(IMAGE.convert("P"), "PNG"),
    "webp": encoded(IMAGE, "WEBP"),
    "webp lossless": encoded(IMAGE, "WEBP", lossless=True),
    "webp alpha": encoded(IMAGE.convert("RGBA"), "WEBP", exif=BIG_EXIF),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_header_is_read_from_the_first_bytes_and_from_no_fewer(name: str):
    data = PICTURES[name]
    found = [read_header(data[:size], complete=False) for size in range(0, len(data), 7)]
    known = [header for header in found if header is not None]
    assert {header[:3] for header in known} == {(name.split()[0], 123, 45)}
    assert found == [None] * (len(found) - len(known)) + known


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_file_that_ends_inside_its_header_is_corrupt(data: bytes):
    with pytest.raises(Refused, match="corrupt"):
        read_header(data[:20], complete=True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(IMAGE, "GIF"), "bad_format"),
        (encoded(IMAGE, "BMP"), "bad_format"),
        (encoded(IMAGE, "TIFF"), "bad_format"),
        (encoded(IMAGE, "ICO"), "bad_format"),
        (encoded(IMAGE, "WEBP", save_all=True, append_images=[drawing(2, 123, 45)]), "bad_format"),
        (b"SIMPLE  =                    T", "bad_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "bad_format"),
        (b"%PDF-1.7\n1 0 obj", "bad_format"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "bad_format"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "bad_format"),
        (b"  <svg viewBox='0 0 1 1'/>", "bad_format"),
        (b"<!DOCTYPE html><title>gone</title><svg></svg>", "not_a_picture"),
        (b"<html>" + b" " * 5000, "not_a_picture"),
        (b'{"error": "no such picture"}', "not_a_picture"),
        (b"\x1f\x8b\x08\0" + bytes(50), "not_a_picture"),
        (bytes(5000), "not_a_picture"),
        (b"", "not_a_picture"),
        (b"GIF", "not_a_picture"),
    ],
)
def test_what_is_not_wanted_is_named(data: bytes, reason: str):
    with pytest.raises(Refused) as refused:
        read_header(data, complete=True)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (50_000, 50_000, "too_many_pixels"),
        (100_000_000, 1, "too_many_pixels"),
        (99, 4000, "too_small"),
        (1000, 100, "bad_aspect"),
        (100, 1000, "bad_aspect"),
        (0, 5, "corrupt"),
        (300, 100, None),
    ],
)
def test_sizes_are_judged_by_the_header_alone(width: int, height: int, reason: str | None):
    limits = DownloadConfig(min_side_px=100, max_aspect=3).limits
    data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    header = read_header(data, complete=False)
    assert header == Header("png", width, height)
    if reason is None:
        check_header(header, limits)
    else:
        with pytest.raises(Refused, match=reason):
            check_header(header, limits)


END = {
    "html": b"<html>" + b"a" * 3000,
    "svg": b"<?xml version='1.0'?><svg>" + b"a" * 3000,
    "gif": PICTURES["png"].replace(b"\x89PNG", b"GIF8"),
    "many bytes": PICTURES["jpeg with much before"],
    "bomb": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 60_000, 60_000) + bytes(5000),
    "cut": PICTURES["jpeg"][:15],
    "fine": PICTURES["jpeg"],
}


def _end_of(chunks: list[bytes]) -> object:
    body = Body(DownloadConfig().limits, max_bytes=50_000)
    try:
        for chunk in chunks:
            body.feed(chunk)
        return body.end()
    except Refused as refused:
        return refused.reason


@given(name=st.sampled_from(sorted(END)), cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_the_end_of_a_body_does_not_depend_on_how_it_arrives(name: str, cuts: list[int]):
    data = END[name]
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert _end_of(chunks) == _end_of([data])


def test_a_header_that_takes_long_to_come_is_read_when_all_is_there():
    data = b"\xff\xd8" + b"\xff" * (2 * MAX_HEADER_BYTES) + PICTURES["jpeg"][2:]
    body = Body(DownloadConfig().limits, max_bytes=10 * MAX_HEADER_BYTES)
    for at in range(0, len(data), 100_000):
        body.feed(data[at : at + 100_000])
    assert body.end() == data
    assert read_header(data, complete=True) == read_header(PICTURES["jpeg"], complete=True)


@given(st.binary(max_size=200), st.sampled_from([b"", *(data[:40] for data in PICTURES.values())]))
def test_no_bytes_make_the_header_reader_stumble(data: bytes, start: bytes):
    for complete in (False, True):
        with contextlib.suppress(Refused):
            read_header(start + data, complete=complete)


@pytest.mark.parametrize(
    ("values", "directive"),
    [
        (["noai"], "noai"),
        (["NoImageAI"], "noimageai"),
        (["none"], "none"),
        (["noml"], "noml"),
        (["noindex;"], "noindex"),
        (["nofollow, noai"], "noai"),
        (["nofollow; noimageai ;"], "noimageai"),
        (["nosnippet", "noai"], "noai"),
        (["img2dataset: noai"], "noai"),
        (["corgi: noai"], "noai"),
        (["CORGI: nofollow, noml"], "noml"),
        (["*: noai"], "noai"),
        (["otherbot: noindex, corgi: noml"], "noml"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 PST, noai"], "noai"),
        (["max-snippet: 20, noai"], "noai"),
        (["otherbot: noai"], None),
        (["otherbot: nofollow, noai"], None),
        (["corgi: nofollow, otherbot: noai"], None),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], None),
        (["max-image-preview: none"], None),
        (["all"], None),
        (["noaindex"], None),
        ([""], None),
        ([":,;::"], None),
        ([], None),
    ],
)
def test_opt_outs_are_heard_in_every_form(values: list[str], directive: str | None):
    assert opted_out(values, [], agents={"corgi", "img2dataset"}, directives=OPT_OUTS) == directive


def test_a_tdm_reservation_is_an_opt_out():
    assert opted_out([], ["1"], agents=(), directives=OPT_OUTS) == "tdm-reservation"
    assert opted_out([], ["0"], agents=(), directives=OPT_OUTS) is None
    assert opted_out([], ["1"], agents=(), directives=("noai",)) is None


@given(st.text("Mon, 01Ja29:+-GT", max_size=40))
def test_no_date_makes_the_reader_stumble(text: str):
    after_s = retry_after_s(text)
    assert after_s is None or after_s >= 0


def test_retry_after_is_a_number_or_a_date():
    assert retry_after_s("7") == 7
    assert retry_after_s(None) is None
    assert retry_after_s("soon") is None
    assert retry_after_s("Mon, 01 Jan 99999999999999999999 00:00:00 GMT") is None
    assert retry_after_s("Mon, 01 Jan 0001 00:00:00 +2359") in (None, 0)
    assert retry_after_s(format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)) == 0
    later = retry_after_s(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert later is not None and 3000 < later <= 3600
