"""The guarded engine against a web that misbehaves: every reason, in its place."""

import asyncio
import hashlib
import socket
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from protego import Protego

from pipeline.download import robots, wishes
from pipeline.download.guarded import fetch_shard
from pipeline.download.resolver import AddressInfo, Resolver, _result
from storage.atomic import read_json
from storage.pairs import Outcome
from storage.shard import STATS, Shard

from .download_server import Page, Web, config_for, download, drawing, encoded, jpeg, serve

PICTURE = jpeg(1)


@pytest.fixture(autouse=True)
def _no_robots_kept():
    wishes._kept.clear()


def one(tmp_path: Path, page: Page, **values: object) -> dict[str, Any]:
    """The row of a shard of one pair that leads to this page."""
    with serve({"a.test/x.jpg": page}) as web_:
        return download(tmp_path, web_, ["http://a.test/x.jpg"], **values)[0]


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that decodes to side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def to(where: str, status: int = 302) -> Page:
    return Page(status=status, headers=[("Location", where)])


def test_a_good_answer_is_told_in_full(tmp_path: Path):
    row = one(tmp_path, Page(PICTURE, type="image/x-odd"))
    digest = hashlib.sha256(PICTURE).hexdigest()
    assert (row["status"], row["http_status"], row["detail"]) == ("ok", 200, None)
    assert (row["content_type"], row["final_url"]) == ("image/x-odd", "http://a.test/x.jpg")
    assert (row["fetched_bytes"], row["fetched_sha256"], row["format"]) == (len(PICTURE), digest, "jpeg")
    assert (row["original_width"], row["original_height"]) == (320, 240)
    assert (row["stored_width"], row["stored_height"]) == (256, 192)


HTML = b"<!DOCTYPE html><title>moved</title>" + b"a" * 2000


@pytest.mark.parametrize(
    ("page", "values", "reason"),
    [
        (Page(status=404), {}, "http_404"),
        (Page(status=403), {}, "http_403"),
        (Page(PICTURE, status=206), {}, "http_206"),
        (Page(PICTURE, status=302), {}, "http_302"),  # it says nowhere
        (Page(status=500), {}, "http_500"),
        (Page(status=429, headers=[("Retry-After", "3600")]), {}, "http_429"),
        (Page(PICTURE, headers=[("X-Robots-Tag", "noai")]), {}, "opt_out"),
        (Page(PICTURE, headers=[("X-Robots-Tag", "all"), ("X-Robots-Tag", "corgi: none")]), {}, "opt_out"),
        (Page(PICTURE, headers=[("TDM-Reservation", "1")]), {}, "opt_out"),
        (Page(PICTURE, headers=[("X-Robots-Tag", "otherbot: noai")]), {}, "ok"),
        (Page(PICTURE, headers=[("X-Robots-Tag", "noai")]), {"opt_out": "ignore"}, "ok"),
        (Page(PICTURE), {"max_bytes": 1000}, "too_many_bytes"),  # announced
        (Page(PICTURE, chunked=True), {"max_bytes": 1000}, "too_many_bytes"),  # found out
        (Page(HTML), {}, "not_a_picture"),
        (Page(HTML, chunked=True), {"max_bytes": 1500}, "not_a_picture"),  # the first bytes come first
        (Page(b""), {}, "not_a_picture"),
        (Page(zlib.compress(PICTURE), headers=[("Content-Encoding", "deflate")]), {}, "ok"),
        (Page(encoded(drawing(1), "GIF")), {}, "bad_format"),
        (Page(b"<svg xmlns='http://www.w3.org/2000/svg'/>", type="image/svg+xml"), {}, "bad_format"),
        (Page(bomb(30_000)), {}, "too_many_pixels"),
        (Page(PICTURE), {"min_side_px": 300}, "too_small"),
        (Page(PICTURE), {"max_aspect": 1.2}, "bad_aspect"),
        (Page(PICTURE, cut_at=len(PICTURE) // 2), {}, "cut_off"),
        (Page(HTML, cut_at=1500), {}, "not_a_picture"),  # what came before the cut is looked at first
        (Page(PICTURE[: len(PICTURE) // 2]), {}, "corrupt"),
        (Page(PICTURE[:30]), {}, "corrupt"),
        (Page(bomb(2000)), {}, "corrupt"),
        (Page(bomb(0xFFFFFFFF)), {}, "corrupt"),  # more than any column of ours or any PNG can hold
        (to("http://x[]@/a.jpg"), {}, "bad_url"),
        (Page(status=429, headers=[("Retry-After", f"Mon, 01 Jan {9:0>20} 00:00:00 GMT")]), {}, "http_429"),
    ],
)
def test_every_answer_has_its_reason(tmp_path: Path, page: Page, values: dict[str, object], reason: str):
    row = one(tmp_path, page, **values)
    assert row["status"] == reason
    if reason != "ok":
        assert row["stored_sha256"] is None and row["tar_offset"] is None


def test_silence_and_slow_bodies_run_out_of_time(tmp_path: Path):
    pages = {
        "silent.test/x.jpg": Page(PICTURE, wait_s=30),
        "stalls.test/x.jpg": Page(PICTURE, drip=(500, 30)),
        "drips.test/x.jpg": Page(PICTURE, drip=(20, 0.1)),
    }
    with serve(pages) as web_:
        rows = download(tmp_path, web_, [f"http://{page}" for page in pages], first_byte_s=1.0, total_s=2.0)
    assert [row["status"] for row in rows] == ["timeout"] * 3
    assert [row["http_status"] for row in rows] == [None, 200, 200]


def test_transient_answers_are_tried_again_and_final_ones_are_not(tmp_path: Path):
    pages = {
        "a.test/429.jpg": Page(PICTURE, at_first=(429, {"Retry-After": "0"})),
        "b.test/503.jpg": Page(PICTURE, at_first=(503, {})),
        "c.test/500.jpg": Page(status=500),
        "d.test/404.jpg": Page(PICTURE, at_first=(404, {})),
        "e.test/far.jpg": Page(PICTURE, at_first=(429, {"Retry-After": "3600"})),
    }
    with serve(pages) as web_:
        rows = download(tmp_path, web_, [f"http://{page}" for page in pages], retries=3)
    assert [row["status"] for row in rows] == ["ok", "ok", "http_500", "http_404", "http_429"]
    assert [web_.asked[page] for page in pages] == [2, 2, 4, 1, 1]
    stats = read_json(Shard(tmp_path, 0).path(STATS))
    assert stats["reasons"] == {"ok": 2, "http_500": 1, "http_404": 1, "http_429": 1}
    assert (stats["attempts"], stats["retries"], stats["hosts"]["c.test"]["attempts"]) == (10, 5, 4)


def test_a_host_that_asks_for_time_gets_it_from_all_its_pairs(tmp_path: Path):
    pages = {f"a.test/{n}.jpg": Page(PICTURE) for n in range(4)}
    pages["a.test/0.jpg"] = Page(PICTURE, at_first=(429, {"Retry-After": "1"}))
    began = time.monotonic()
    with serve(pages) as web_:
        rows = download(tmp_path, web_, [f"http://{page}" for page in pages], host_connections=1)
    assert {row["status"] for row in rows} == {"ok"}
    assert time.monotonic() - began >= 1


def test_limits_hold_for_each_host(tmp_path: Path):
    pages = {f"{host}.test/{n}.jpg": Page(PICTURE, wait_s=0.02) for n in range(8) for host in "ab"}
    with serve(pages) as web_:
        rows = download(tmp_path, web_, [f"http://{page}" for page in pages], host_connections=2)
    assert {row["status"] for row in rows} == {"ok"}
    assert web_.most_at_once == {"a.test": 2, "b.test": 2}


def test_redirects_are_followed_and_every_hop_is_checked(tmp_path: Path):
    with serve({}) as other, serve({}) as web_:
        web_.pages.update(
            {
                "a.test/1.jpg": to("/2.jpg"),
                "a.test/2.jpg": to("http://b.test/3.jpg", 301),
                "b.test/3.jpg": Page(PICTURE),
                "a.test/loop.jpg": to("/loop.jpg", 307),
                "a.test/ten.jpg": to("http://10.0.0.7/"),
                "a.test/meta.jpg": to("http://169.254.169.254/latest/meta-data/"),
                "a.test/port.jpg": to(f"http://{other.target}/"),
                "a.test/hex.jpg": to(f"http://0x7f.1:{other.port}/"),
                "a.test/file.jpg": to("file:///etc/passwd"),
                "a.test/user.jpg": to("http://me@b.test/3.jpg"),
                "a.test/bytes.jpg": to("http://b.test/\u00fc\u00fc"),
            }
        )
        names = ["1", "loop", "ten", "meta", "port", "hex", "file", "user", "bytes"]
        rows = download(tmp_path, web_, [f"http://a.test/{name}.jpg" for name in names])
        assert not other.asked
    reasons = ["ok", "too_many_redirects", *["private_address"] * 4, "bad_scheme", "bad_url", "http_404"]
    assert [row["status"] for row in rows] == reasons
    assert rows[0]["final_url"] == "http://b.test/3.jpg"
    assert rows[2]["final_url"] == "http://10.0.0.7/"
    assert web_.asked["a.test/loop.jpg"] == 6


def test_what_cannot_be_reached_says_why(tmp_path: Path):
    with serve({"a.test/x.jpg": Page(PICTURE)}) as web_, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        nowhere = f"127.0.0.1:{closed.getsockname()[1]}"
        config = config_for(web_)
        config = config.model_copy(
            update={
                "resolve": {"gone.test": nowhere, **config.resolve},
                "allow_addresses": (*config.allow_addresses, nowhere),
                "retries": 1,
            }
        )
        urls = ["http://gone.test/", "https://a.test/x.jpg", "http://no.invalid/", "http://two.example/"]
        outcomes = fetch(config, urls, {"two.example": ["8.8.8.8", "192.168.0.1"]})
    assert [outcome.status for outcome in outcomes] == ["connect", "tls", "dns", "private_address"]
    assert outcomes[0].effort.attempts == 1  # robots.txt was what could not be reached, after its own attempts
    for outcome in outcomes:
        assert "127.0.0.1" not in (outcome.detail or "") and "192.168" not in (outcome.detail or "")


def fetch(config: Any, urls: list[str], names: dict[str, list[str]]) -> list[Outcome]:
    """Outcomes with a name server that knows these names only."""

    async def lookup(host: str, port: int) -> list[AddressInfo]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(0, 0, 0, "", (address, port)) for address in names[host]]

    outcomes: list[Outcome] = []
    fetch_shard(config, [{"key": "k", "url": url, "caption": ""} for url in urls], outcomes.append, lookup=lookup)
    return outcomes


def test_a_silent_name_server_is_no_word_of_robots_txt():
    async def never(host: str, port: int) -> list[AddressInfo]:
        await asyncio.Event().wait()
        return []

    async def later(host: str, port: int) -> list[AddressInfo]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with serve({}) as web_:
        for lookup in (never, later):
            outcomes: list[Outcome] = []
            planned = [{"key": "k", "url": "http://silent.example/x.jpg", "caption": ""}] * 2
            config = config_for(web_, dns_s=0.1, total_s=2.0)
            fetch_shard(config, planned, outcomes.append, lookup=lookup)
            assert [(outcome.status, outcome.detail) for outcome in outcomes] == [
                ("dns", "the name server does not answer for silent.example")
            ] * 2


def rules(text: str, **values: Any) -> Page:
    return Page(text.encode(), type="text/plain", **values)


def test_robots_txt_is_honoured_and_asked_once_a_host(tmp_path: Path):
    disallow = "User-agent: *\nDisallow: /private/\nAllow: /private/but/\n"
    pages = {
        "a.test/robots.txt": rules(disallow),
        "b.test/robots.txt": rules("User-agent: corgi\nDisallow: /\n\nUser-agent: *\nAllow: /\n"),
        "c.test/robots.txt": rules("User-agent: otherbot\nDisallow: /\n"),
        "d.test/robots.txt": Page(status=403),
        "e.test/robots.txt": Page(status=503),
        "f.test/robots.txt": to("http://a.test/robots.txt"),
        "g.test/robots.txt": rules(disallow, at_first=(503, {})),
        "h.test/robots.txt": to("http://10.0.0.7/robots.txt"),
        "*/x.jpg": Page(PICTURE),
        "*/private/x.jpg": Page(PICTURE),
        "*/private/but/x.jpg": Page(PICTURE),
    }
    expected = {
        "a.test/x.jpg": "ok",
        "a.test/private/x.jpg": "robots_txt",
        "a.test/private/but/x.jpg": "ok",
        "b.test/x.jpg": "robots_txt",
        "c.test/x.jpg": "ok",
        "d.test/x.jpg": "ok",
        "e.test/x.jpg": "robots_txt",
        "f.test/x.jpg": "ok",
        "f.test/private/x.jpg": "robots_txt",
        "g.test/private/x.jpg": "robots_txt",
        "h.test/x.jpg": "robots_txt",
        "none.test/x.jpg": "ok",
    }
    with serve(pages) as web_:
        urls = [f"http://{where}" for where in expected]
        rows = download(tmp_path / "1", web_, urls, retries=1)
        assert dict(zip(expected, (row["status"] for row in rows), strict=True)) == expected
        assert web_.asked["d.test/robots.txt"] == 1 and web_.asked["none.test/robots.txt"] == 1
        assert web_.asked["a.test/private/x.jpg"] == 0
        download(tmp_path / "2", web_, urls, retries=1)
        assert web_.asked["d.test/robots.txt"] == 1  # kept for the next shard
        assert web_.asked["e.test/robots.txt"] == 4  # but not that a host was out of order
        ignored = download(tmp_path / "3", web_, urls, robots="ignore")
    assert {row["status"] for row in ignored} == {"ok"}


@pytest.mark.parametrize(
    "text",
    [
        "User-agent: corgi\nUser-agent: other\nDisallow: /a\n\nUser-agent: *\nDisallow: /b",
        "USERAGENT *\nDisallow: /a  # all\nUser Agent: corg*i # us\nDisallow: /b",
        "user-agent:\nDisallow: /a\nUser-agent: x\n\nDisallow: /a\nUser-agent: gi\nAllow: /a",
        "Host: a.test\nUser-agent: other\nDisallow: /\nUser-agent: *bot*\nDisallow: /b\nuser-agent: **\nAllow: /b",
    ],
)
def test_a_robots_txt_for_us_alone_says_the_same_to_us(text: str):
    whole, ours = Protego.parse(text), Protego.parse(robots.for_agent(text, "corgi"))
    for path in ("a", "b", "c"):
        url = f"http://a.test/{path}"
        assert whole.can_fetch(url, "corgi") == ours.can_fetch(url, "corgi"), path


def test_a_robots_txt_of_a_thousand_agents_keeps_its_rules_once():
    text = "".join(f"User-agent: {'*' * n}{n}bot\n" for n in range(1000)) + "User-agent: *\nDisallow: /\n"
    assert set(robots.for_agent(text, "corgi").splitlines()) == {robots.SOMEBODY_ELSE, "User-agent: *", "Disallow: /"}


def test_hashes_are_verified_where_the_table_has_them(tmp_path: Path):
    right, wrong = hashlib.sha256(PICTURE).hexdigest().upper(), "0" * 64
    md5 = hashlib.md5(PICTURE).hexdigest()
    with serve({"a.test/x.jpg": Page(PICTURE), "a.test/half.jpg": Page(PICTURE[:3000])}) as web_:
        config = config_for(web_)

        def statuses(column: str, digest: str | None, **values: str) -> list[str]:
            planned = [
                {"key": "k", "url": f"http://a.test/{name}.jpg", "caption": "", column: digest}
                for name in ("x", "half")
            ]
            outcomes: list[Outcome] = []
            fetch_shard(config.model_copy(update=values), planned, outcomes.append)
            return [outcome.status for outcome in outcomes]

        assert statuses("sha256", right) == ["ok", "hash_mismatch"]
        assert statuses("sha256", wrong) == ["hash_mismatch", "hash_mismatch"]  # before anything is decoded
        assert statuses("sha256", None) == ["ok", "corrupt"]
        assert statuses("sha256", wrong, verify_hash="none") == ["ok", "corrupt"]
        assert statuses("md5", md5, verify_hash="md5") == ["ok", "hash_mismatch"]
        assert statuses("md5", wrong) == ["ok", "corrupt"]


def test_a_name_that_turns_private_between_check_and_use_leads_nowhere_else():
    with serve({"*/x.jpg": Page(PICTURE)}) as web_:
        asked: list[str] = []

        async def lookup(host: str, port: int) -> list[AddressInfo]:
            asked.append(host)
            return [(0, 0, 0, "", ("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port))]

        outcomes: list[Outcome] = []
        planned = [{"key": "k", "url": f"http://twice.example:{web_.port}/x.jpg", "caption": ""}] * 3
        fetch_shard(config_for(web_, resolve={}, connections=1), planned, outcomes.append, lookup=lookup)
        assert [outcome.status for outcome in outcomes] == ["ok"] * 3
        assert asked == ["twice.example"]  # for robots.txt and all pictures


def test_even_a_lying_resolver_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serve({"*/x.jpg": Page(PICTURE)}) as inside, serve({}) as web_:

        async def lie(self: Resolver, host: str, port: int = 0, family: int = 0) -> list[Any]:
            return [_result(host, "127.0.0.1", inside.port), _result(host, "127.0.0.2", inside.port)]

        monkeypatch.setattr(Resolver, "resolve", lie)
        rows = download(tmp_path, web_, ["http://a.test/x.jpg"])
        assert rows[0]["status"] == "private_address" and not inside.asked


def test_the_server_learns_who_asks_and_gets_no_cookies_back(tmp_path: Path):
    seen: list[dict[str, str]] = []

    class Listening(Web):
        async def _answer(self, request: Any, where: str) -> Any:
            seen.append(dict(request.headers))
            return await super()._answer(request, where)

    page = Page(PICTURE, headers=[("Set-Cookie", "id=1")])
    with serve({"a.test/x.jpg": page}, kind=Listening) as web_:
        download(tmp_path, web_, ["http://a.test/x.jpg"] * 3, connections=1)
    assert all(headers["User-Agent"].startswith("corgi/") for headers in seen)
    assert all("Cookie" not in headers and headers["Accept-Encoding"] == "identity" for headers in seen)


def test_an_error_of_our_own_ends_the_shard_and_leaves_no_done_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def broken(*args: object, **kwargs: object) -> None:
        raise AssertionError("a mistake")

    monkeypatch.setattr("pipeline.download.fetch.Fetcher.visit", broken)
    with serve({}) as web_, pytest.raises(AssertionError, match="a mistake"):
        download(tmp_path, web_, ["http://a.test/x.jpg"])
    assert sorted(path.name for path in (tmp_path / "000").iterdir()) == ["00000.urls.parquet"]
