"""A JPEG of which nothing must change is stored byte for byte; whatever must change, or hides something, is not."""

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageCms

from pipeline.download.config import DownloadConfig, Limits
from pipeline.download.decoders import Decoders
from pipeline.download.image import store
from pipeline.download.jpeg_segments import SOS, segments
from pipeline.download.reasons import Refused
from storage.tar import decode, decode_scaled

from .download_server import drawing, encoded
from .test_download_color import DISPLAY_P3
from .test_download_jpegs import END, HARMLESS, LITTLE_LOST, PROGRESSIVE

CLEAN, PLAIN, NEVER = (
    DownloadConfig(size_px=640).limits._replace(originals=originals) for originals in ("clean", "plain", "never")
)
IMAGE = drawing(1, 250, 187)
WHOLE = encoded(IMAGE, quality=90)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def of_scans(scans: int) -> bytes:
    """A progressive file; each scan after the first is of one coefficient, 0 in all 4,800 blocks: ITU T.81, G.1.2.2."""
    walked = list(segments(PROGRESSIVE))
    first = next(number for number, segment in enumerate(walked) if segment.marker == SOS)
    table = b"\xff\xc4\0\x14\x10" + b"\1" + bytes(15) + b"\xc0"  # 0 is EOB12: so many blocks, and 4,096
    blocks = int(f"0{4800 - 4096:012b}111", 2).to_bytes(2, "big")
    coefficients = [b"\xff\xda\0\x08\1\1\0" + bytes((n, n, 0)) + blocks for n in range(1, scans)]
    return b"".join([PROGRESSIVE[: walked[first + 1].start], table, *coefficients, END])


KEPT = {
    "baseline": WHOLE,
    "full colour": encoded(IMAGE, quality=90, subsampling=0),
    "progressive": encoded(IMAGE, quality=90, progressive=True),
    "restarts": encoded(IMAGE, quality=90, restart_marker_rows=1),
    "grey": encoded(IMAGE.convert("L"), quality=90),
    "Adobe's RGB": encoded(IMAGE, quality=90, keep_rgb=True),
    "one pixel": encoded(drawing(1, 1, 1)),
    "as large as may be": encoded(drawing(1, 640, 30)),
    "as many scans as common encoders make": of_scans(20),
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "MARKED"
    return exif


def with_segment(marker: int, body: bytes) -> bytes:
    """The picture with one more segment behind JFIF's, ITU T.81, B.1.1.4."""
    return WHOLE[:20] + bytes((0xFF, marker)) + (2 + len(body)).to_bytes(2, "big") + body + WHOLE[20:]


METADATA = {
    "EXIF": encoded(IMAGE, quality=90, exif=turned(1)),
    "EXIF of no known orientation": encoded(IMAGE, quality=90, exif=turned(0)),
    "XMP": encoded(IMAGE, quality=90, xmp=b"<x>MARKED</x>"),
    "comment": encoded(IMAGE, quality=90, comment=b"MARKED"),
    "a profile that is sRGB": encoded(IMAGE, quality=90, icc_profile=SRGB),
    "IPTC": with_segment(0xED, b"Photoshop 3.0\0MARKED"),
    "a thumbnail in JFIF": with_segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1MAR"),
    "a thumbnail beside JFIF": with_segment(0xE0, b"JFXX\0\x10MARKED"),
    "more than Adobe's": with_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1MARKED"),
    "anything": with_segment(0xEC, b"MARKED"),
}
CHANGED = {
    "turned": encoded(IMAGE, quality=90, exif=turned(6)),
    "another colour space": encoded(IMAGE, quality=90, icc_profile=DISPLAY_P3),
    "bytes behind the end": WHOLE + b"MARKED",
    "a second image": WHOLE + WHOLE,
    "four channels": encoded(IMAGE.convert("CMYK"), quality=90),
    "too large": encoded(drawing(1, 641, 200), quality=90),
    "PNG": encoded(IMAGE, "PNG"),
    "many scans for each epoch": of_scans(21),
    **{what: data for what, (data, _) in (HARMLESS | LITTLE_LOST).items()},
}


@pytest.mark.parametrize("data", KEPT.values(), ids=KEPT)
def test_what_fits_and_is_clean_is_stored_byte_for_byte(data: bytes):
    assert store(data, CLEAN).data == store(data, PLAIN).data == data
    anew = store(data, NEVER)
    assert anew.data != data
    assert store(data, CLEAN)[1:] == anew[1:]


@pytest.mark.parametrize("data", KEPT.values(), ids=KEPT)
def test_what_is_kept_is_read_like_all_that_is_stored(data: bytes):
    stored = store(data, CLEAN)
    pixels = decode(stored.data)
    assert pixels.shape == (stored.height, stored.width, 3)
    assert np.abs(pixels.astype(int) - decode(store(data, NEVER).data)).mean() < 2
    assert decode_scaled(stored.data, at_least_px=1).height == stored.height


@pytest.mark.parametrize("data", METADATA.values(), ids=METADATA)
def test_metadata_stay_behind_or_are_kept_if_plain(data: bytes):
    assert len(data) > len(WHOLE)
    assert store(data, CLEAN).data == store(WHOLE, NEVER).data
    assert store(data, PLAIN).data == data


@pytest.mark.parametrize("data", CHANGED.values(), ids=CHANGED)
def test_what_must_change_is_encoded_anew(data: bytes):
    assert store(data, CLEAN) == store(data, PLAIN) == store(data, NEVER)
    assert store(data, CLEAN).data != data


def test_what_is_stored_could_be_served_and_kept():
    once = store(encoded(IMAGE, "PNG"), NEVER).data
    assert store(once, CLEAN).data == once


def test_a_subsampling_that_the_reader_has_no_name_for_is_encoded_anew():
    wide = simplejpeg.encode_jpeg(np.asarray(drawing(1, 64, 64)), 90, "RGB", "411")
    frame = wide.index(b"\xff\xc0")
    assert wide[frame + 11] == 0x41
    tall = wide[: frame + 11] + b"\x14" + wide[frame + 12 :]
    with pytest.raises(KeyError):
        simplejpeg.decode_jpeg_header(tall)
    assert store(tall, CLEAN) == store(tall, NEVER)


def outcome(data: bytes, limits: Limits) -> tuple[str, ...]:
    try:
        store(data, limits)
    except Refused as refused:
        return refused.reason, refused.detail
    return ("ok",)


def test_damage_is_met_at_an_eighth_of_the_size_as_in_full():
    rng = np.random.default_rng(0)
    met = set()
    for _ in range(300):
        data = bytearray(list(KEPT.values())[rng.integers(5)])
        at = int(rng.integers(2, len(data)))
        del data[at : at + int(rng.choice([1, 20, len(data)]))]
        data += b"\xff\xd9" * int(rng.integers(2))
        met.add(outcome(bytes(data), CLEAN))
        assert outcome(bytes(data), CLEAN) == outcome(bytes(data), NEVER)
    assert {reason for reason, *_ in met} == {"ok", "corrupt"}


def test_bytes_that_are_kept_do_not_come_back_through_the_pipe():
    with Decoders(1, CLEAN) as decoders:
        stored = decoders.store(WHOLE)
        assert stored.data is WHOLE
        assert stored == store(WHOLE, CLEAN)
        assert decoders.store(WHOLE + b"junk") == store(WHOLE, NEVER)
