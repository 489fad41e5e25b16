"""Which served JPEGs are stored as they are: encoding them anew would only cost quality, bytes and time.

What is kept is read later by whatever reads JPEGs, so it must be ordinary in every way: whole, decoded without mending
or a warning, of few scans, in codings that all decoders know, upright, in sRGB, and with nothing behind its end.
"""

from storage.tar import decode_scaled

from .color import is_as_srgb
from .config import Originals
from .header import Header
from .jpeg_segments import APP0, APP14, DRI, EOI, SOS, Segment, segments
from .metadata import metadata_of_jpeg

FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive, all by Huffman
DHT, DQT = 0xC4, 0xDB
CODING = FRAMES | {DHT, DQT, DRI, SOS, EOI}  # what a decoder needs; it holds nothing but pixels
APPLICATIONS = frozenset(range(0xE0, 0xF0))
COMMENT = 0xFE
MOST_SCANS = 20  # progressive files of common encoders have 10 to 13; a loader decodes a picture in each epoch
# How harmless application segments begin, and their bytes with the marker: there is no room for a thumbnail.
HARMLESS = {APP0: (b"JFIF\0", 18), APP14: (b"Adobe", 16)}


def may_stay(data: bytes, header: Header, *, originals: Originals) -> bool:
    """Say whether the JPEG `data` may be stored byte for byte, where it has the size that is stored.

    `clean` asks for a file without metadata: no EXIF, XMP, IPTC, comment, thumbnail or profile. `plain` lets them be as
    long as no pixel must change for them, that is upright and in sRGB. The file is decoded to its end at an eighth of
    its size, which reads every bit of it but computes few pixels.
    """
    if originals == "never" or header.format != "jpeg" or header.channels not in (1, 3):
        return False
    if not _is_ordinary(data, metadata=originals == "plain"):
        return False
    if originals == "plain":
        turn, profile = metadata_of_jpeg(data)
        if turn is not None or not is_as_srgb(profile):
            return False
    try:
        decode_scaled(data, at_least_px=1)
    except (ValueError, KeyError):  # KeyError: a subsampling that simplejpeg has no name for
        return False
    return True


def _is_ordinary(data: bytes, *, metadata: bool) -> bool:
    """Walk the segments: the file ends with its image, has few scans, and metadata only where that is let in."""
    scans, last = 0, Segment(0, 0, 0)
    for last in segments(data):
        scans += last.marker == SOS
        if scans > MOST_SCANS or not (_is_clean(data, last) or (metadata and _is_metadata(last))):
            return False
    return last.marker == EOI and last.end == len(data)


def _is_clean(data: bytes, segment: Segment) -> bool:
    if segment.marker in HARMLESS:
        start, size = HARMLESS[segment.marker]
        return segment.end - segment.start == size and data.startswith(start, segment.start + 4)
    return segment.marker in CODING


def _is_metadata(segment: Segment) -> bool:
    return segment.marker in APPLICATIONS or segment.marker == COMMENT
