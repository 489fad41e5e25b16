"""JPEGs that every browser shows are kept, those of which much is lost are not, and nobody decodes a thousand scans."""

import re
from io import BytesIO

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from pipeline.download.config import DownloadConfig
from pipeline.download.image import store
from pipeline.download.jpeg_segments import EOI, SOS, count_scans, segments
from pipeline.download.reasons import Refused

from .download_server import drawing, encoded

LIMITS = DownloadConfig().limits
WHOLE = encoded(drawing(7, 640, 480), quality=90)
RESTARTS = encoded(drawing(7, 640, 480), quality=90, restart_marker_rows=1)
PROGRESSIVE = encoded(drawing(7, 640, 480), quality=90, progressive=True)
END = b"\xff\xd9"


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def without(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + data[end:]


def with_more(data: bytes, at: int, more: bytes) -> bytes:
    return data[:at] + more + data[at:]


def sos_end(data: bytes) -> int:
    return next(segment.end for segment in segments(data) if segment.marker == SOS)


JFIF = WHOLE.index(b"JFIF\0") + 5  # its version
TABLES = WHOLE.index(b"\xff\xdb")
RST = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", RESTARTS)]
VERSION_2 = changed(WHOLE, JFIF, b"\2")
NO_SPECTRUM = changed(WHOLE, sos_end(WHOLE) - 3, bytes(3))
HARMLESS = {
    "JFIF 2.01": (VERSION_2, "unknown JFIF revision"),
    "a scan of no coefficients": (NO_SPECTRUM, "Invalid SOS parameters"),
    "both of them": (changed(NO_SPECTRUM, JFIF, b"\2"), "unknown JFIF revision"),
    "junk between headers": (with_more(WHOLE, TABLES, b"junk \xff\0!"), "extraneous bytes before marker 0xdb"),
    "junk before the end": (with_more(WHOLE, len(WHOLE) - 2, b"12345"), "extraneous bytes before marker 0xd9"),
}
LITTLE_LOST = {
    "a restart is gone": (without(RESTARTS, RST[3], RST[3] + 2), "extraneous bytes before marker 0xd4"),
    "a restart is another": (changed(RESTARTS, RST[3], b"\xff\xd0"), "found marker 0xd0 instead of RST3"),
    "an interval is gone": (without(RESTARTS, RST[3], RST[4]), "found marker 0xd4 instead of RST3"),
}
MUCH_LOST = {
    "half, with another version": VERSION_2[: len(WHOLE) // 2],
    "half, with another version and an end": VERSION_2[: len(WHOLE) // 2] + END,
    "half, of no coefficients": NO_SPECTRUM[: len(WHOLE) // 2] + END,
    "half, and junk between headers": with_more(WHOLE, TABLES, b"junk")[: len(WHOLE) // 2] + END,
    "a third of the intervals": without(RESTARTS, RST[3], RST[12]),
    "one restart, then the second half": without(RESTARTS, RST[3], RST[3] + 2)[: RST[14]] + END,
    "one restart, then the end": without(RESTARTS, RST[3], RST[3] + 2)[:-2],
    "much is left over": with_more(WHOLE, len(WHOLE) - 2, bytes(len(WHOLE) // 2)),
}


def warning_of(data: bytes) -> str:
    with pytest.raises(ValueError) as error:
        simplejpeg.decode_jpeg(data, "RGB")
    return str(error.value)


@pytest.mark.parametrize(("data", "warning"), HARMLESS.values(), ids=HARMLESS)
def test_what_costs_nothing_is_kept_whole(data: bytes, warning: str):
    assert warning in warning_of(data)
    assert store(data, LIMITS).data == store(WHOLE, LIMITS).data


@pytest.mark.parametrize(("data", "warning"), LITTLE_LOST.values(), ids=LITTLE_LOST)
def test_what_costs_a_stripe_is_kept(data: bytes, warning: str):
    assert warning in warning_of(data)
    kept, whole = (
        np.asarray(Image.open(BytesIO(store(each, LIMITS).data)), np.int16).max(-1) for each in (data, RESTARTS)
    )
    assert kept.shape == whole.shape
    assert np.mean(np.abs(kept - whole) > 16) < 0.1


@pytest.mark.parametrize("data", MUCH_LOST.values(), ids=MUCH_LOST)
def test_what_costs_much_is_corrupt(data: bytes):
    with pytest.raises(Refused, match="corrupt"):
        store(data, LIMITS)


def test_segments_are_walked_to_the_end_of_the_image_and_no_further():
    found = list(segments(PROGRESSIVE + PROGRESSIVE))
    assert found[-1].marker == EOI and found[-1].end == len(PROGRESSIVE)
    assert found[0].start == 2


def test_scans_are_counted_without_those_of_a_thumbnail_or_a_second_image():
    assert count_scans(WHOLE, enough=500) == 1
    assert count_scans(PROGRESSIVE, enough=500) == 10
    assert count_scans(PROGRESSIVE, enough=4) == 4
    thumbnail = b"Exif\0\0" + PROGRESSIVE
    inside = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert count_scans(with_more(WHOLE, 2, inside) + PROGRESSIVE, enough=500) == 1


@pytest.mark.parametrize("junk", [b"\xff", b"\xff\0", b"\xff\xd0", b"\0"])
def test_junk_of_any_kind_is_walked_over_once(junk: bytes):
    data = with_more(WHOLE, TABLES, junk * 1_000_000)  # in a time that grows with the square, this takes days
    assert [segment.marker for segment in segments(data)] == [segment.marker for segment in segments(WHOLE)]


def many_scans(scans: int) -> bytes:
    """The last scan over and over."""
    last = [segment.start for segment in segments(PROGRESSIVE) if segment.marker == SOS][-1]
    return PROGRESSIVE[:-2] + PROGRESSIVE[last:-2] * (scans - 10) + END


def test_too_many_scans_are_refused_before_they_are_decoded():
    for _ in range(2):
        with pytest.raises(Refused, match="too_many_scans") as refused:
            store(many_scans(600), LIMITS)
        assert refused.value.detail == "more than 500 of 640 x 480"


def test_the_larger_the_picture_the_fewer_scans():
    for data in (PROGRESSIVE, encoded(drawing(7, 640, 480).convert("CMYK"), progressive=True)):
        store(data, DownloadConfig(max_pixels=640 * 480).limits)  # as large as may be: ordinary files are let in
    with pytest.raises(Refused, match="too_many_scans"):
        store(many_scans(30), DownloadConfig(max_pixels=640 * 480).limits)


@pytest.mark.parametrize(
    "filling", [b"\xff" * 4_000_000 + b"\0", b"\xff\0" * 2_000_000, b"\xff\xda\0\2" + b"\xff" * 4_000_000]
)
def test_megabytes_of_fill_are_walked_once(filling: bytes):
    assert len(list(segments(b"\xff\xd8" + filling))) < 2  # trying each byte anew would take days
