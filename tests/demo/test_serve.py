"""The server: what the manifest names, and nothing else, whatever is asked for."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from report.rate import REMEMBERED, Rate
from storage.signed import read_signed

from .serving import Server, ask, get, serving

BIG = "x" * 20_000
PICTURE = "/files/0123456789abcdef0123456789abcdef.png"
TRAVERSAL = [
    *("/../index.html", "/files/../index.html", "/./index.html", "//index.html", "/files//x.png", "/index.html/"),
    *("/%2e%2e/index.html", "/%69ndex.html", "/files/%2e%2e/manifest.json", "/..%2findex.html", "/..\\index.html"),
    *("/%00", "/index.html%00.png", "/index.html%0d%0aSet-Cookie:x", "/etc/passwd", "/../../../../etc/passwd"),
    *("/.git/config", "/key.pem", "/demo.json", "/review.jsonl", "/files", "/files/", "/INDEX.HTML", "/index.html;x"),
]
TEXT = [
    *("/a%20photo%20of%20a%20person", "/draw/a-woman", "/api/generate", "/<script>alert(1)</script>", "/'%20or%201=1"),
    *(PICTURE, PICTURE[:-5], "/files/" + "f" * 5000, "/\u00e9", "/%ff%fe", "/*", "/http://evil.test/"),
]
QUERIES = ["/?prompt=a+woman", "/index.html?x=1", "/?", "/manifest.json?<script>", "/?" + "a=b&" * 2000]
METHODS = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "DEBUG", "get", "G" * 200]
RANGES = ["bytes=0-1", "bytes=0-0,2-2,4-4", "bytes=-1", "bytes=5-1", "bytes=0-18446744073709551616", "x" * 500, "a=0-1"]
RAW = {
    "nonsense": b"\x00\x01\x02\x03\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http3": b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    "http09": b"GET /\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "nul in a header": b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    "big header": f"GET / HTTP/1.1\r\nHost: a\r\nX: {BIG}\r\n\r\n".encode(),
    "many headers": ("GET / HTTP/1.1\r\nHost: a\r\n" + "X: y\r\n" * 4000 + "\r\n").encode(),
    "big path": f"GET /{BIG} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "spaces in the path": b"GET / index.html HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute": b"GET http://evil.test/index.html HTTP/1.1\r\nHost: a\r\n\r\n",
    "body": get("/", "Content-Length: 5", body=b"hello"),
    "big body": get("/", "Content-Length: 99999999", body=b"x" * 1000),
    "huge length": get("/", "Content-Length: 9" + "0" * 30),
    "negative length": get("/", "Content-Length: -1"),
    "two lengths": get("/", "Content-Length: 1", "Content-Length: 2", body=b"ab"),
    "chunked": get("/", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "length and chunked": get("/", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "odd encoding": get("/", "Transfer-Encoding: xchunked"),
    "posted text": get("/", "Content-Length: 20", method="POST", body=b"prompt=a+real+person"),
    "expect": get("/", "Expect: 100-continue", "Content-Length: 3", body=b"abc"),
    "only expect": get("/", "Expect: 100-continue"),
}
BAD: dict[str, bytes] = {
    **{f"path {path[:60]}": get(path) for path in [*TRAVERSAL, *TEXT, *QUERIES[:2], *QUERIES[3:]]},
    **{f"method {method[:20]}": get("/", method=method) for method in METHODS},
    **{f"range {value[:30]}": get("/index.html", f"Range: {value}") for value in RANGES},
    **RAW,
}
ALLOWED = {400, 404, 405}


@pytest.fixture(scope="module")
def server(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(site, tmp_path_factory.mktemp("serving"), "--per-second", "0") as server:
        yield server


def test_at_least_sixty_bad_requests_get_a_refusal_and_nothing_else(server: Server):
    assert len(BAD) >= 60
    odd = {}
    for name, request in BAD.items():
        status, data = ask(server.port, request)
        head = data.partition(b"\r\n\r\n")[0].lower()
        if status not in ALLOWED or b"set-cookie" in head or b"alert(1)" in data or b"evil" in data:
            odd[name] = data[:200]
    assert odd == {}
    assert ask(server.port, get("/"))[0] == 200  # it is still there


def test_every_file_is_served_whole_by_get_and_head(server: Server, site: Path):
    for name, data in read_signed(site).files.items():
        status, answer = ask(server.port, get(f"/{name}"))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (status, body) == (200, data), name
        assert b"x-content-type-options: nosniff" in head and b"default-src 'none'" in head
        assert (b"immutable" in head) == name.startswith("files/")
        assert not re.search(rb"(?i)set-cookie|^server:", head, re.MULTILINE)
        status, answer = ask(server.port, get(f"/{name}", method="HEAD"))
        assert status == 200 and answer.partition(b"\r\n\r\n")[2] == b""
        assert f"content-length: {len(data)}".encode() in answer
    assert ask(server.port, get("/"))[1].partition(b"\r\n\r\n")[2] == read_signed(site).files["index.html"]


def test_refusals_carry_the_same_guards(server: Server):
    for request in (get("/nothing"), get("/", method="POST"), get("/?x")):
        _, answer = ask(server.port, request)
        assert b"x-content-type-options: nosniff" in answer and b"default-src 'none'" in answer
        assert b"no-store" in answer


def test_the_log_tells_what_was_asked_and_not_by_whom(server: Server):
    ask(server.port, get("/a-secret-wish", "X-Forwarded-For: 203.0.113.7"))
    ask(server.port, get("/", method="SECRETMETHOD"))
    text = server.log.read_text()
    assert "GET / 200" in text and "GET (unknown) 404" in text and "(other) / 405" in text
    requests = text.splitlines()[1:]
    assert not any(word in line for line in requests for word in ("127.0.0.1", "203.0.113.7", "secret", "SECRET"))


def test_a_flood_of_one_client_is_turned_away_while_another_is_served(site: Path, tmp_path: Path):
    with serving(site, tmp_path, "--per-second", "5", "--burst", "20", "--no-log") as server:

        def one(_: int) -> int:
            return ask(server.port, get("/"), source="127.0.0.2")[0]

        with ThreadPoolExecutor(8) as pool:
            flood = [pool.submit(one, n) for n in range(200)]
            other = [ask(server.port, get("/"), source="127.0.0.3")[0] for _ in range(10)]
            statuses = [each.result() for each in flood]
        assert other == [200] * 10
        assert set(statuses) == {200, 429} and statuses.count(429) > 100
        _, answer = ask(server.port, get("/"), source="127.0.0.2")
        assert answer.startswith(b"HTTP/1.1 429") and b"retry-after: 1" in answer and b"nosniff" in answer


def test_a_bucket_fills_again_and_is_forgotten_in_the_end():
    now = [0.0]
    rate = Rate(2, 3, clock=lambda: now[0])
    assert [rate.admits("a") for _ in range(4)] == [True, True, True, False]
    assert rate.admits("b")
    now[0] = 0.5
    assert [rate.admits("a") for _ in range(2)] == [True, False]
    assert [rate.admits(f"2001:db8::{n}") for n in range(4)] == [True, True, True, False]  # one network
    assert rate.admits("2001:db8:0:1::1")
    for number in range(REMEMBERED + 5):
        rate.admits(str(number))
    assert len(rate._buckets) == REMEMBERED
