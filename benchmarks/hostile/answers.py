"""S5 and S9: answers that take time, memory or patience, heads and chunks out of order, content that was swapped."""

import gzip
import zlib
from collections.abc import Iterator
from hashlib import md5, sha256

from .case import OK, Again, Case, Script, answer, head, picture

PICTURE = picture(10)
LENGTH = f"Content-Length: {len(PICTURE)}"
TOO_MANY, BAD_HTTP, TIMEOUT = ("too_many_bytes",), ("bad_http",), ("timeout",)
CHUNKED = head("Content-Type: image/jpeg", "Transfer-Encoding: chunked", "Connection: close")
UNTIL_THE_END = head("Content-Type: image/jpeg", "Connection: close")
ZEROS = bytes(1 << 16)
PAUSE_S = 0.01  # keeps an endless body at some megabytes a second
LARGE = PICTURE[:-2] + bytes(30_000_000)


def _chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def _packed(data: bytes, label: str) -> Script:
    return answer(data, f"Content-Encoding: {label}")


# name -> (what is served, what is right)
ANSWERS: dict[str, tuple[Script, tuple[str, ...]]] = {
    "endless picture until the end": ((UNTIL_THE_END, PICTURE[:-2], Again(ZEROS, None, PAUSE_S)), TOO_MANY),
    "endless picture in chunks": ((CHUNKED, _chunk(PICTURE[:-2]), Again(_chunk(ZEROS), None, PAUSE_S)), TOO_MANY),
    "endless zeros": ((UNTIL_THE_END, Again(ZEROS, None, PAUSE_S)), ("not_a_picture",)),
    "endless markup": ((UNTIL_THE_END, Again(b"<p>", None, PAUSE_S)), ("not_a_picture",)),
    "10 GB announced": (
        (head("Content-Type: image/jpeg", "Content-Length: 10000000000"), PICTURE, Again(ZEROS, None, PAUSE_S)),
        TOO_MANY,
    ),
    "2^70 bytes announced": ((head(f"Content-Length: {2**70}"), PICTURE), TOO_MANY + BAD_HTTP),
    "silence": ((Again(b"", None, 1.0),), TIMEOUT),
    "a slow head": ((b"HTTP/1.1 200 OK\r\n", Again(b"X-Slow: 1\r\n", None, 0.2)), TIMEOUT + BAD_HTTP),
    "a slow head, byte by byte": ((b"HTTP/1.1 200 OK\r\nX: ", Again(b"a", None, 0.1)), TIMEOUT),
    "a slow body": ((head(LENGTH), PICTURE[:100], Again(b"\0", None, 0.1)), TIMEOUT),
    "a body that stalls": ((head(LENGTH), PICTURE[:2000], Again(b"", None, 1.0)), TIMEOUT),
    "slow chunks": ((CHUNKED, Again(b"1\r\n\xff\r\n", None, 0.1)), (*TIMEOUT, "not_a_picture")),
    "a slow length of a chunk": ((CHUNKED, Again(b"0", None, 0.1)), TIMEOUT + BAD_HTTP),
    "gzip bomb": (_packed(gzip.compress(LARGE, 9, mtime=0), "gzip"), TOO_MANY),
    "deflate bomb": (_packed(zlib.compress(LARGE, 9), "deflate"), TOO_MANY),
    "gzip twice": (_packed(gzip.compress(gzip.compress(LARGE, mtime=0), mtime=0), "gzip, gzip"), ("bad_encoding",)),
    "gzip of nothing but blocks": (
        (
            head("Content-Encoding: deflate", "Connection: close"),
            b"\x78\x01",
            Again(b"\0\0\0\xff\xff" * 10_000, None, PAUSE_S),
        ),
        (*TOO_MANY, "not_a_picture"),
    ),
    "brotli that is none": (_packed(b"\x0b\x02\x80" + PICTURE, "br"), ("bad_encoding",)),
    "gzip cut short": (_packed(gzip.compress(PICTURE, mtime=0)[:2000], "gzip"), ("corrupt",)),
    "gzip that is a picture": (_packed(gzip.compress(PICTURE, mtime=0), "gzip"), OK),
    "deflate that is a picture": (_packed(zlib.compress(PICTURE), "deflate"), OK),
    "gzip by name only": (_packed(PICTURE, "gzip"), OK),
    "flood of 100": ((Again(head(status="100 Continue"), None, PAUSE_S),), TIMEOUT + BAD_HTTP),
    "flood of 103 with links": (
        (Again(head("Link: </a>", status="103 Early Hints") * 50, None, PAUSE_S),),
        TIMEOUT + BAD_HTTP,
    ),
    "ten times 102, then a picture": (
        (Again(head(status="102 Processing"), 10), head(LENGTH, "Connection: close"), PICTURE),
        OK,
    ),
    "101 to another protocol": (
        (head("Upgrade: ws", "Connection: Upgrade", status="101 Switching"), PICTURE),
        (*BAD_HTTP, "http_101"),
    ),
    "endless headers": ((b"HTTP/1.1 200 OK\r\n", Again(b"X-Many: headers\r\n" * 500, None, PAUSE_S)), BAD_HTTP),
    "one endless header": ((b"HTTP/1.1 200 OK\r\nX: ", Again(b"a" * 10_000, None, PAUSE_S)), BAD_HTTP),
    "an endless status line": ((b"HTTP/1.1 200 ", Again(b"a" * 10_000, None, PAUSE_S)), BAD_HTTP),
    "9,000 bytes of cookie": (answer(PICTURE, "Set-Cookie: a=" + "b" * 9000), OK),
    "500 headers": (answer(PICTURE, *[f"X-{number}: y" for number in range(500)]), OK),
    "a line without a colon": (answer(PICTURE, "no colon here"), OK),
    "two lengths": ((head(LENGTH, "Content-Length: 7", "Connection: close"), PICTURE), BAD_HTTP),
    "length and chunks": (
        (head("Content-Length: 7", "Transfer-Encoding: chunked", "Connection: close"), _chunk(PICTURE), _chunk(b"")),
        OK + BAD_HTTP,
    ),
    "a negative length": ((head("Content-Length: -1", "Connection: close"), PICTURE), BAD_HTTP),
    "a length of letters": ((head("Content-Length: many", "Connection: close"), PICTURE), BAD_HTTP),
    "a chunk of a negative length": ((CHUNKED, b"-1\r\n", PICTURE), (*BAD_HTTP, "cut_off")),
    "a chunk of 2^80 bytes": (
        (CHUNKED, b"1" + b"0" * 20 + b"\r\n", PICTURE[:-2], Again(ZEROS, None, PAUSE_S)),
        TOO_MANY + BAD_HTTP + ("cut_off",),
    ),
    "a chunk without its length": ((CHUNKED, PICTURE), (*BAD_HTTP, "cut_off")),
    "a megabyte of chunk extension": (
        (CHUNKED, _chunk(PICTURE, b";" + b"x" * 1_000_000), _chunk(b"")),
        OK + BAD_HTTP + ("cut_off",),
    ),
    "endless trailers": (
        (CHUNKED, _chunk(PICTURE), b"0\r\n", Again(b"X-Trailer: 1\r\n" * 100, None, PAUSE_S)),
        OK + BAD_HTTP + TIMEOUT + ("cut_off",),
    ),
    "chunks of one byte": ((CHUNKED, b"".join(_chunk(bytes([byte])) for byte in PICTURE), _chunk(b"")), OK),
    "cut in the middle": ((head(LENGTH), PICTURE[: len(PICTURE) // 2]), ("cut_off",)),
    "closed at once": ((), ("connect",)),
    "closed inside the head": ((b"HTTP/1.1 200 OK\r\nContent-",), ("connect", "bad_http")),
    "no HTTP": ((b"SSH-2.0-OpenSSH_9.2\r\n",), BAD_HTTP),
    "a picture instead of a head": ((PICTURE,), BAD_HTTP),
    "a response to another request": (
        (head("Content-Length: 0", "Connection: close"), head(LENGTH), PICTURE),
        ("not_a_picture",),
    ),
    "404 with a picture": (answer(PICTURE, status="404 Not Found"), ("http_404",)),
    "206 with a picture": (answer(PICTURE, status="206 Partial Content"), ("http_206",)),
    "204 with a picture": (answer(PICTURE, status="204 No Content"), ("http_204",)),
    "503 that asks for an hour": (answer(b"", "Retry-After: 3600", status="503 Busy"), ("http_503",)),
    "429 until the year 10^20": (
        answer(b"", f"Retry-After: Mon, 01 Jan {9:0>20} 00:00:00 GMT", status="429 Slow"),
        ("http_429",),
    ),
}


def cases() -> Iterator[Case]:
    """Yield all cases of S5 and S9."""
    for number, (name, (script, expected)) in enumerate(ANSWERS.items()):
        where = f"answer{number}.test/x.jpg"
        yield Case(name, "S5 endless and odd answers", f"http://{where}", expected, {where: script})
    digest = sha256(PICTURE).hexdigest()
    for number, (name, table, served, expected) in enumerate(
        (
            ("the indexed picture", digest, PICTURE, OK),
            ("its digest in capitals", digest.upper(), PICTURE, OK),
            ("another picture", digest, picture(11), ("hash_mismatch",)),
            ("one byte more", digest, PICTURE + b"\0", ("hash_mismatch",)),
            ("one bit less", digest, PICTURE[:-3] + bytes([PICTURE[-3] ^ 1]) + PICTURE[-2:], ("hash_mismatch",)),
            ("half of it", digest, PICTURE[: len(PICTURE) // 2], ("hash_mismatch",)),
            ("no digest of this kind", md5(PICTURE).hexdigest(), PICTURE, ("hash_mismatch",)),
            ("a page instead", digest, b"<html>sold</html>", ("not_a_picture", "hash_mismatch")),
        )
    ):
        where = f"swapped{number}.test/x.jpg"
        yield Case(name, "S9 swapped content", f"http://{where}", expected, {where: answer(served)}, sha256=table)
