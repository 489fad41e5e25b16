"""Whatever bytes come, in a picture or around it: no crash, no hang, bounded memory, a known reason, twice the same.

`make soak NAME=mutations` makes 10,000 of each, which takes some minutes; the figures go to docs/log.md.
"""

import gzip
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.download import wishes
from pipeline.download.config import DownloadConfig
from pipeline.download.decoders import SLACK_BYTES, Decoders
from pipeline.download.guarded import fetch_shard
from pipeline.download.image import memory_bytes
from pipeline.download.reasons import REASONS, Refused
from pipeline.download.resolver import AddressInfo
from storage.pairs import OK, Outcome

from .download_server import Page, config_for, drawing, encoded, jpeg, serve

SEED = "mutations"
COUNTS = [300, pytest.param(10_000, marks=pytest.mark.soak)]
MOST_CHANGES = 4  # in one file
LONGEST_PIECE = 200  # bytes that are cut, doubled or put in
INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xd8\xff",
    b"\r\n",
    b"\r\n\r\n",
    b": ",
    b"%s",
)
STARTED_BYTES = 200_000_000  # of a decoder that has done nothing yet, libraries included: about 90 MB
LIMITS = DownloadConfig(formats=("jpeg", "png", "webp", "gif", "avif"), max_pixels=4_000_000).limits
SHEER = drawing(3, 200, 150).convert("RGBA")
SHEER.putalpha(Image.linear_gradient("L").resize((200, 150)))
TURNED = Image.Exif()
TURNED[0x0112], TURNED[0x010F] = 6, "maker"
PICTURES = [
    jpeg(1),
    encoded(drawing(2, 200, 150), quality=90),  # small enough to stay as it is
    encoded(drawing(3, 640, 480), progressive=True),
    encoded(drawing(4), exif=TURNED),
    encoded(drawing(5).convert("CMYK")),
    encoded(drawing(6), "PNG"),
    encoded(drawing(7).quantize(64), "PNG"),
    encoded(SHEER, "PNG"),
    encoded(drawing(8), "WEBP"),
    encoded(drawing(9, 100, 80), "WEBP", lossless=True),
    encoded(SHEER, "WEBP"),
    encoded(drawing(10), "GIF"),
    encoded(drawing(11, 80, 60), "GIF", save_all=True, append_images=[drawing(12, 80, 60)]),
    encoded(drawing(13), "AVIF"),
]
PICTURE = jpeg(20, 100, 80)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(PICTURE)
PIECES = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (PICTURE[:500], PICTURE[500:]))
ANSWERS = [
    HEAD + LENGTH + b"\r\n" + PICTURE,
    HEAD + b"\r\n" + PICTURE,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + PIECES + b"0\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PICTURE, mtime=0),
    HEAD + LENGTH + b"X-Robots-Tag: otherbot: noai, unavailable_after: 1 Jan 2040 15:00:00 PST\r\n\r\n" + PICTURE,
    HEAD + LENGTH + b"Content-Usage: train-ai=y, search=n\r\nTDM-Reservation: 0\r\n\r\n" + PICTURE,
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + LENGTH + b"\r\n" + PICTURE,
    b"HTTP/1.1 302 Found\r\nLocation: http://end.test/x.jpg\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
]
ROBOTS = b"User-agent: *\nDisallow: /private/\nContent-Signal: search=yes, ai-train=yes\nContent-Usage: /a train-ai=n\n"
TDMREP = b'[{"location": "/private/", "tdm-reservation": 1, "tdm-policy": "http://a.test/policy"}]'


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The bytes after up to MOST_CHANGES flips, cuts and so on; one in three is near the start."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, MOST_CHANGES)):
        at = int(len(changed) * draw.random() ** draw.choice((1, 1, 4)))
        piece = draw.randint(1, LONGEST_PIECE)
        match draw.randrange(7):
            case 0 | 1 if at < len(changed):
                changed[at] ^= 1 << draw.randrange(8)
            case 2 if at < len(changed):
                changed[at] = draw.randrange(256)
            case 3:
                del changed[at : at + piece]
            case 4:
                changed[at:at] = draw.choice((draw.randbytes(piece), draw.choice(INTERESTING)))
            case 5:
                changed[at:at] = changed[at : at + piece]
            case 6 if draw.random() < 0.2:
                del changed[at:]
            case _:
                changed[at : at + 4] = draw.choice(INTERESTING)
    return bytes(changed)


def draws(kind: str, count: int) -> Iterator[tuple[int, random.Random]]:
    return ((number, random.Random(f"{SEED} {kind} {number}")) for number in range(count))


def known(reason: str) -> bool:
    return reason == OK or reason in REASONS or reason.startswith("http_")


def peak_bytes(decoders: Decoders) -> int:
    """The most memory that any of the processes has had so far."""
    status = [Path(f"/proc/{decoder._process.pid}/status").read_text() for decoder in decoders._idle]
    lines = [line for text in status for line in text.splitlines() if line.startswith("VmHWM")]
    return max(1024 * int(line.split()[1]) for line in lines)


def decoded(count: int) -> tuple[list[tuple[str, str]], int]:
    """What became of `count` mutated pictures, and the most memory that a decoder took."""
    bodies = [mutated(PICTURES[number % len(PICTURES)], draw) for number, draw in draws("picture", count)]
    with Decoders(2, LIMITS) as decoders:

        def outcome(body: bytes) -> tuple[str, str]:
            try:
                return OK, sha256(decoders.store(body).data).hexdigest()
            except Refused as refused:
                return refused.reason, refused.detail

        outcomes = list(decoders.threads.map(outcome, bodies))
        return outcomes, peak_bytes(decoders)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("count", COUNTS)
def test_mutated_pictures_end_well_and_alike(count: int):
    began = time.monotonic()
    outcomes, peak = decoded(count)
    reasons = Counter(reason for reason, _ in outcomes)
    print(f"\n{count} pictures, {time.monotonic() - began:.0f} s, {peak / 1e6:.0f} MB: {dict(reasons.most_common())}")
    assert all(map(known, reasons)) and reasons[OK] > count / 20 and reasons["corrupt"] > count / 20
    assert "decode_limit" not in reasons  # none hung, died or asked for too much
    assert peak < STARTED_BYTES + memory_bytes(LIMITS) + SLACK_BYTES
    assert decoded(count)[0] == outcomes


def web_of(count: int) -> dict[str, Page]:
    """A host for each mutated answer; some have files of wishes that are mutated, too."""
    pages = {"end.test/x.jpg": Page(PICTURE)}
    for number, draw in draws("answer", count):
        pages[f"h{number}.test/a.jpg"] = Page(raw=mutated(ANSWERS[number % len(ANSWERS)], draw))
        if number % 4 == 0:
            pages[f"h{number}.test/robots.txt"] = Page(mutated(ROBOTS, draw))
            pages[f"h{number}.test/.well-known/tdmrep.json"] = Page(mutated(TDMREP, draw))
    return pages


def fetched(config: DownloadConfig, count: int) -> list[tuple[Any, ...]]:
    """What became of `count` urls, but for the effort that it took."""

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    wishes._kept.clear()
    outcomes: list[Outcome] = []
    planned = [
        {"key": f"{number:024x}", "url": f"http://h{number}.test/a.jpg", "caption": ""} for number in range(count)
    ]
    fetch_shard(config, planned, outcomes.append, lookup=lookup)
    wishes._kept.clear()
    return [tuple(value for name, value in vars(outcome).items() if name != "effort") for outcome in outcomes]


@pytest.mark.long
@pytest.mark.parametrize("count", COUNTS)
def test_mutated_answers_end_well_and_alike(count: int, caplog: pytest.LogCaptureFixture):
    began = time.monotonic()
    with serve(web_of(count)) as web_:
        config = config_for(web_, retries=0)
        outcomes = fetched(config, count)
        reasons = Counter(outcome[0] for outcome in outcomes)
        print(f"\n{count} answers, {time.monotonic() - began:.0f} s: {dict(reasons.most_common())}")
        again = fetched(config, count)
    assert all(map(known, reasons)) and reasons[OK] > count / 20
    assert [pair for pair in zip(outcomes, again, strict=True) if pair[0] != pair[1]] == []
    left = [record.getMessage() for record in caplog.records if record.name.startswith("asyncio")]
    assert not [message for message in left if "web_protocol" not in message]  # those are of the servers of tests
