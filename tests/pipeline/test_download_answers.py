"""What is sent and how answers are read: spelling of urls, heads that are not quite HTTP, bodies that come packed."""

import contextlib
import gzip
import socket
import threading
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest

from pipeline.download.session import MAX_HEAD_BYTES, put_right

from .download_server import Page, Web, download, drawing, encoded, jpeg, serve

PICTURE = jpeg(1)
LENGTH = b"Content-Length: %d\r\n" % len(PICTURE)


def one(tmp_path: Path, page: Page, **values: object) -> tuple[dict[str, Any], Web]:
    """The row of a shard of one pair that leads to this page, and the web it is on."""
    with serve({"a.test/x.jpg": page}) as web_:
        return download(tmp_path, web_, ["http://a.test/x.jpg"], **values)[0], web_


def test_the_request_line_has_the_bytes_of_the_url(tmp_path: Path):
    targets = [
        "/a%2cb%2Fc%3A%7e/x.jpg?Signature=a%2Bb%2fc%3D&q=1+2%20&e=%C3%bc",
        "/%e9.jpg?%zz&%",
        "/a//b;c=1/(x)'!.jpg?u=http://b.test/?d|e",
        "/ü ü.jpg?ü",
    ]
    sent = [*targets[:2], targets[2].replace("|", "%7C"), "/%C3%BC%20%C3%BC.jpg?%C3%BC"]
    with serve({"a.test/to": Page(status=302, headers=[("Location", targets[0])])}) as web_:
        download(
            tmp_path,
            web_,
            [f"http://a.test{target}" for target in [*targets, "/to"]],
            robots="ignore",
            opt_out="ignore",
        )
    assert sorted(web_.targets) == sorted([*sent, "/to", sent[0]])


@pytest.mark.long
@pytest.mark.parametrize(
    "head",
    [
        b"Set-Cookie: a=" + b"b" * 9000 + b"\r\n",
        b"Set-Cookie: a=" + b"b" * 60_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % n for n in range(500)),
        b"this line has no colon\r\n",
        b"X-Spaced : x\r\n",
        b": x\r\n",
        b"two words: x\r\n folded onto it\r\n",
        b"X-Folded: x\r\n y\r\n",
        b"Connection: close\r\n",
        b"X-Bytes: \xe9\xff\x01\r\n",
        LENGTH + LENGTH,
    ],
    ids=range(11),
)
@pytest.mark.parametrize("tail", [b"", b"bytes after the body", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["", "bytes", "HTTP"])
def test_an_image_is_kept_whatever_stands_beside_it(tmp_path: Path, head: bytes, tail: bytes):
    row, web_ = one(tmp_path, Page(raw=b"HTTP/1.1 200 OK\r\n" + head + LENGTH + b"\r\n" + PICTURE + tail))
    assert (row["status"], row["fetched_bytes"]) == ("ok", len(PICTURE))
    assert web_.asked["a.test/x.jpg"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n" + PICTURE,
        b"HTTP/1.1 200\r\nContent-Length : %d\r\n\r\n" % len(PICTURE) + PICTURE,
        b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE,
        b"HTTP/1.1 103 Early Hints\r\nno colon\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + PICTURE,
        b"\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(PICTURE)
        + PICTURE
        + b"\r\n0\r\n\r\nmore",
    ],
    ids=["lf", "spaced length", "until the end", "early hints", "chunked"],
)
def test_an_answer_that_is_nearly_http_is_read(tmp_path: Path, answer: bytes):
    assert one(tmp_path, Page(raw=answer))[0]["status"] == "ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=" + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: headers\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + LENGTH + b"Content-Length: 7\r\n\r\n" + PICTURE,
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xd8\xff" + PICTURE,
    ],
    ids=["cookie", "headers", "lengths", "status", "ssh", "no head"],
)
def test_what_is_not_http_has_its_reason_and_is_not_asked_for_again(tmp_path: Path, answer: bytes):
    row, web_ = one(tmp_path, Page(raw=answer))
    assert (row["status"], row["detail"]) == ("bad_http", "no answer that is HTTP")
    assert web_.asked["a.test/x.jpg"] == 1


@pytest.mark.parametrize(
    "chunk", [b"-1\r\n", b"1" + b"0" * 20 + b"\r\n", b"no length\r\n"], ids=["-1", "2^80", "letters"]
)
@pytest.mark.parametrize("before", [b"", b"7d0\r\n" + PICTURE[:2000] + b"\r\n"], ids=["at once", "later"])
def test_chunks_that_cannot_be_read_end_the_body_at_once(tmp_path: Path, before: bytes, chunk: bytes):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    row, web_ = one(tmp_path, Page(raw=head + before + chunk + PICTURE), first_byte_s=3.0)
    assert (row["status"], row["detail"]) == ("cut_off", "the connection broke inside the body")
    assert web_.asked["a.test/x.jpg"] == 1


def test_a_flood_of_interim_heads_is_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    good = b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + PICTURE
    assert one(tmp_path / "1", Page(raw=interim * 1500 + good))[0]["status"] == "ok"
    row, web_ = one(tmp_path / "2", Page(raw=interim * 3000 + good))
    assert (row["status"], web_.asked["a.test/x.jpg"]) == ("bad_http", 1)
    assert not caplog.records  # of asyncio, which tells of whatever a protocol does not catch


def test_a_server_that_speaks_first_speaks_no_http(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server, serve({}) as web_:
        target = f"127.0.0.1:{server.getsockname()[1]}"

        def greet() -> None:
            for _ in range(2):
                with contextlib.suppress(OSError), server.accept()[0] as connection:
                    connection.sendall(b"220 mail.test ESMTP\r\n")
                    connection.recv(1000)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        values = {
            "resolve": {"mail.test": target},
            "allow_addresses": (target,),
            "robots": "ignore",
            "opt_out": "ignore",
        }
        row = download(tmp_path, web_, ["http://mail.test/x.jpg"], **values)[0]
    assert row["status"] == "bad_http"


def test_a_head_is_put_right_by_what_browsers_drop():
    head = b"HTTP/1.1 200 OK\r\nA : 1\r\nno colon\r\n of it\r\nB: 2\n\tof it\r\n:x\r\n\r\n"
    assert put_right(head) == b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\tof it\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "label", "status"),
    [
        (gzip.compress(PICTURE, mtime=0), "gzip", "ok"),
        (gzip.compress(PICTURE, mtime=0), "identity, X-GZip", "ok"),
        (zlib.compress(PICTURE), "deflate", "ok"),
        (raw_deflate(PICTURE), "deflate", "ok"),
        (gzip.compress(PICTURE, mtime=0) + b"bytes after it", "gzip", "ok"),
        (PICTURE, "gzip", "ok"),  # says so, and is not
        (PICTURE, "utf-8", "ok"),
        (PICTURE, "", "ok"),
        (gzip.compress(PICTURE, mtime=0)[:2000], "gzip", "corrupt"),
        (gzip.compress(encoded(drawing(1), "GIF"), mtime=0), "gzip", "bad_format"),
        (gzip.compress(b"<html>" * 1000, mtime=0), "gzip", "not_a_picture"),
        (b"", "gzip", "not_a_picture"),
        (b"\x1f", "gzip", "not_a_picture"),
        (b"\x1f\x8b" + PICTURE, "gzip", "bad_encoding"),
        (b"\x78\x9c" + PICTURE, "deflate", "bad_encoding"),
        (b"\x0b\x02\x80" + PICTURE, "br", "bad_encoding"),
        (brotli.compress(PICTURE), "br", "ok"),
        (brotli.compress(PICTURE, quality=1), "BR", "ok"),
        (PICTURE, "br", "ok"),
        (brotli.compress(PICTURE)[:2000], "br", "corrupt"),
        (brotli.compress(PICTURE), "zstd", "bad_encoding"),
        (gzip.compress(gzip.compress(PICTURE, mtime=0), mtime=0), "gzip, gzip", "bad_encoding"),
    ],
)
@pytest.mark.parametrize("drip", [None, (3000, 0.001)])
def test_a_packed_image_is_unpacked(
    tmp_path: Path, body: bytes, label: str, status: str, drip: tuple[int, float] | None
):
    row, web_ = one(tmp_path, Page(body, headers=[("Content-Encoding", label)], drip=drip, chunked=True))
    assert row["status"] == status and web_.asked["a.test/x.jpg"] == 1
    if status == "ok":
        assert row["fetched_bytes"] == len(PICTURE)  # what the digest is of, too


def test_what_comes_out_of_a_packed_body_is_capped(tmp_path: Path):
    bomb = PICTURE[:-2] + bytes(50_000_000)
    packed = {"gzip": gzip.compress(bomb), "deflate": zlib.compress(bomb), "br": brotli.compress(bomb, quality=1)}
    for label, body in packed.items():
        page = Page(body, headers=[("Content-Encoding", label)])
        assert one(tmp_path / label, page, max_bytes=100_000)[0]["status"] == "too_many_bytes"


def test_what_goes_into_a_packed_body_is_capped_too(tmp_path: Path):
    empty = b"\x78\x01" + b"\x00\x00\x00\xff\xff" * 10_000  # blocks of no bytes
    page = Page(empty, headers=[("Content-Encoding", "deflate")], chunked=True)
    assert one(tmp_path, page, max_bytes=10_000)[0]["status"] == "too_many_bytes"
