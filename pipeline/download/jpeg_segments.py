"""The segments of a whole JPEG file (ITU T.81, annex B): how many scans, what may be mended, what a warning cost.

What libjpeg warns of and every browser shows falls in two: small lies in headers, which `mended` corrects so that the
picture decodes without a warning, and damage to the entropy-coded data, of which `little_is_lost` says how much it is.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SOS, EOI, DRI, APP0, APP14 = 0xDA, 0xD9, 0xDD, 0xE0, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEQUENTIAL = (0xC0, 0xC1)
NO_LENGTH = (0xD8, EOI)
# Of a segment, or the end. libjpeg, too, skips fill bytes and junk; stuffed bytes and restarts belong to a scan.
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x")
LOST_RESTART = re.compile(r"found marker 0xd[0-7] instead of RST[0-7]")
LITTLE = 10  # of a picture or file, less than one part in so many


class Segment(NamedTuple):
    """Where a segment lies in the file; the entropy-coded data of a scan lie between its segment and the next one."""

    marker: int
    start: int  # of the marker, fill bytes left out
    end: int  # behind the last byte of the segment


def segments(data: bytes) -> Iterator[Segment]:
    """Yield all segments up to the end of the image, junk and fill bytes between them left out."""
    at = 2
    while match := MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker not in NO_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
        yield Segment(marker, match.end() - 2, at)
        if marker == EOI:
            return


def count_scans(data: bytes, *, enough: int) -> int:
    """Return how many scans there are, `enough` where there are more. Few files have to be walked through."""
    possible = data.count(b"\xff\xda")  # also those of thumbnails
    if possible <= min(enough, 1):
        return possible
    scans = 0
    for segment in segments(data):
        scans += segment.marker == SOS
        if scans >= enough:
            break
    return scans


def mended(data: bytes) -> bytes:
    """Return the file with what libjpeg assumes anyway where a header lies, and without junk between the headers.

    That is version 1 of JFIF, the one colour transform that Adobe's marker has for three channels, and the whole
    spectrum for each scan of a sequential frame.
    """
    parts, frame, previous = [data[:2]], 0, Segment(0, 0, 2)
    for segment in segments(data):
        marker, start, end = segment
        if previous.marker == SOS:
            parts.append(data[previous.end : start])
        body = bytearray(data[start:end])
        if marker in FRAMES:
            frame = marker
        elif marker == APP0 and body[4:9] == b"JFIF\0" and len(body) > 9:
            body[9] = 1
        elif marker == APP14 and body[4:9] == b"Adobe" and len(body) > 15 and body[15] > 2:
            body[15] = 1
        elif marker == SOS and frame in SEQUENTIAL and len(body) >= 7:
            body[-3:] = 0, 63, 0  # first and last coefficient, bits left out
        parts.append(bytes(body))
        previous = segment
    return b"".join([*parts, data[previous.end :]])


def little_is_lost(data: bytes, warning: str) -> bool:
    """Say whether a whole file for which libjpeg gives this warning first shows all but a small part of the picture.

    libjpeg tells the first of its warnings only. So a file must also end as it should and have nearly all restarts.
    """
    extraneous = EXTRANEOUS.search(warning)
    if extraneous is None and LOST_RESTART.search(warning) is None:
        return False
    few_bytes = extraneous is None or int(extraneous[1]) * LITTLE <= len(data)
    *_, last = [Segment(0, 0, 0), *segments(data)]
    return few_bytes and last.marker == EOI and _few_restarts_are_lost(data)


def _few_restarts_are_lost(data: bytes) -> bool:
    """Compare the restarts of each scan with those that its size asks for."""
    interval, frame, scan = 0, b"", b""
    previous = Segment(0, 0, 0)
    for segment in segments(data):
        if previous.marker == SOS and interval and frame:
            needed = -(-_units(frame, scan) // interval)
            there = 1 + len(RESTART.findall(data, previous.end, segment.start))
            if abs(needed - there) * LITTLE > needed:
                return False
        body = data[segment.start + 4 : segment.end]
        if segment.marker == DRI:
            interval = int.from_bytes(body[:2], "big")
        elif segment.marker in FRAMES:
            frame = body
        elif segment.marker == SOS:
            scan = body
        previous = segment
    return True


def _units(frame: bytes, scan: bytes) -> int:
    """Return the number of minimum coded units of a scan: ITU T.81, A.1.1 and A.2."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    sampling = {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, len(frame) - 2, 3)}
    most_across, most_down = (max(factors) for factors in zip(*sampling.values(), strict=True))
    across, down = 1, 1
    if scan[:1] == b"\1":  # a scan of one component has no units of several blocks
        across, down = sampling.get(scan[1], (1, 1))
    return -(-width * across // (8 * most_across)) * -(-height * down // (8 * most_down))
