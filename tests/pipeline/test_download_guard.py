"""Hostile urls, addresses in disguise, and names that change their mind."""

import asyncio
import contextlib
import socket
import threading
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from configs import UserError, resolve
from pipeline.download.config import DownloadConfig
from pipeline.download.guard import Allowed, address_in, check_address, check_url, is_public
from pipeline.download.reasons import Refused, Transient
from pipeline.download.resolver import AddressInfo, Resolver


def reason(url: str) -> str:
    """What the guard says of a url before anything is asked; "ok" where it lets it through."""
    try:
        checked = check_url(url)
        address = address_in(checked.raw_host or "")
        if address is not None:
            check_address(address, port=checked.port or 0, allowed=())
    except Refused as refused:
        return refused.reason
    return "ok"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.test/a.jpg", "ok"),
        ("HTTPS://EXAMPLE.test:8443/a b.jpg#part", "ok"),
        ("http://bücher.test/ü.jpg", "ok"),
        ("http://9gag.test/1", "ok"),
        ("http://8.8.8.8/a.jpg", "ok"),
        ("http://[2606:4700::1111]/a.jpg", "ok"),
        ("file:///etc/passwd", "bad_scheme"),
        ("data:image/png;base64,AAAA", "bad_scheme"),
        ("ftp://example.test/a.jpg", "bad_scheme"),
        ("gopher://example.test/", "bad_scheme"),
        ("javascript:alert(1)", "bad_scheme"),
        ("//example.test/a.jpg", "bad_url"),
        ("a.jpg", "bad_url"),
        ("", "bad_url"),
        ("http:///a.jpg", "bad_url"),
        ("http://exa mple.test/", "bad_url"),
        ("http://a..test/", "bad_url"),
        ("http://example.test:99999/", "bad_url"),
        ("http://example.test:0/", "bad_url"),
        ("http://user@example.test/", "bad_url"),
        ("http://user:word@127.0.0.1/", "bad_url"),
        ("http://example.test\\@127.0.0.1/", "bad_url"),
        ("http://example.test/\r\nHost: other", "bad_url"),
        ("http://%31%32%37.0.0.1/", "bad_url"),
        ("http://x[]@/a.jpg", "bad_url"),
        ("http://[@x/a.jpg", "bad_url"),
        ("http://example.test/" + "a" * 9000, "bad_url"),
        ("http://8.8.2056/", "bad_url"),
        ("http://1.2.3.4.5/", "bad_url"),
        ("http://999.1.1.1/", "bad_url"),
        ("http://127.0.0.1/", "private_address"),
        ("http://127.0.0.1:8080/", "private_address"),
        ("http://127.1/", "private_address"),
        ("http://127.0.0.1./", "private_address"),
        ("http://0x7f.1/", "private_address"),
        ("http://0x7f000001/", "private_address"),
        ("http://2130706433/", "private_address"),
        ("http://017700000001/", "private_address"),
        ("http://0177.0.0.1/", "private_address"),
        ("http://①②⑦.0.0.1/", "private_address"),
        ("http://0/", "private_address"),
        ("http://[::1]/", "private_address"),
        ("http://[::]/", "private_address"),
        ("http://[::ffff:127.0.0.1]/", "private_address"),
        ("http://[::ffff:a00:7]/", "private_address"),
        ("http://[::7f00:1]/", "private_address"),
        ("http://[64:ff9b::10.0.0.7]/", "private_address"),
        ("http://[2002:7f00:1::]/", "private_address"),
        ("http://[fe80::1%25eth0]/", "private_address"),
        ("http://[fd00:ec2::254]/", "private_address"),
        ("http://[ff02::1]/", "private_address"),
        ("http://[2001:db8::1]/", "private_address"),
        ("http://169.254.169.254/latest/meta-data/", "private_address"),
        ("http://168.63.129.16/", "private_address"),
        ("http://10.0.0.7/", "private_address"),
        ("http://172.16.0.1/", "private_address"),
        ("http://192.168.1.1/", "private_address"),
        ("http://100.64.0.1/", "private_address"),
        ("http://192.0.0.8/", "private_address"),
        ("http://198.18.0.1/", "private_address"),
        ("http://224.0.0.1/", "private_address"),
        ("http://240.0.0.1/", "private_address"),
        ("http://255.255.255.255/", "private_address"),
    ],
)
def test_a_url_is_refused_before_anything_is_asked(url: str, expected: str):
    assert reason(url) == expected


@given(st.text("htps:/@[]x.1%?#\\ ü0f", max_size=40), st.sampled_from(["", "http://", "//", "http://x"]))
def test_no_url_makes_the_guard_stumble(text: str, start: str):
    assert reason(start + text) in ("ok", "bad_url", "bad_scheme", "private_address")
    with contextlib.suppress(Refused):
        check_url(start + text, base=URL("http://a.test/b.jpg"))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h.test/a%2cb%2Fc%3A?sig=a%20b+c%2B&e=%2C", "http://h.test/a%2cb%2Fc%3A?sig=a%20b+c%2B&e=%2C"),
        ("http://h.test/a b/ü?é=| #part", "http://h.test/a%20b/%C3%BC?%C3%A9=%7C%20"),
        ('http://h.test/"<>\\^`{|}?"<>\\^`{|}', "http://h.test/{0}?{0}".format("%22%3C%3E%5C%5E%60%7B%7C%7D")),
        ("http://h.test/[x]@:$&'()*+,;=!-._~%", "http://h.test/[x]@:$&'()*+,;=!-._~%"),
        ("HTTP://BÜCHER.test:80?x", "http://xn--bcher-kva.test/?x"),
        ("http://h.test/a/../b/./c//%2E%2e/d/..", "http://h.test/b/c/"),
        ("http://h.test/..", "http://h.test/"),
    ],
)
def test_a_url_is_asked_for_in_its_own_spelling(url: str, asked: str):
    checked = check_url(url)
    assert str(checked) == asked
    assert checked.raw_path_qs == asked.partition(".test")[2]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/2%2c.jpg?x=%2C+%20;", "http://h.test/2%2c.jpg?x=%2C+%20;"),
        ("z%3a;", "http://h.test/x/z%3a;"),
        ("?p=%2f", "http://h.test/x/y%2Cz?p=%2f"),
        ("../%2f", "http://h.test/%2f"),
        ("//c.test/x%2cy", "http://c.test/x%2cy"),
        ("https://c.test/%2c;", "https://c.test/%2c;"),
        ("#part", "http://h.test/x/y%2Cz?q=%2c"),
        ("/\\c.test/", "http://h.test/%5Cc.test/"),
        ("/\udce9", "http://h.test/%E9"),  # a byte that is not UTF-8
    ],
)
def test_a_redirect_is_followed_in_its_own_spelling(location: str, asked: str):
    assert str(check_url(location, base=check_url("http://h.test/x/y%2Cz?q=%2c"))) == asked


def test_a_public_address_inside_another_stays_public():
    for text in ("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"):
        assert is_public(ip_address(text)), text


def test_an_address_is_let_through_by_network_or_by_port():
    rules = [Allowed.parse(text) for text in ("10.0.0.0/8", "127.0.0.1:8080", "[::1]:80")]
    for text, port in (("10.1.2.3", 9), ("127.0.0.1", 8080), ("::1", 80)):
        check_address(ip_address(text), port=port, allowed=rules)
    for text, port in (("127.0.0.1", 8081), ("127.0.0.2", 8080), ("::1", 81), ("192.168.0.1", 80)):
        with pytest.raises(Refused, match="private_address"):
            check_address(ip_address(text), port=port, allowed=rules)


@pytest.mark.parametrize(
    "values",
    [
        {"resolve": {"*.test": "localhost:80"}},
        {"resolve": {"*.test": "127.0.0.1"}},
        {"allow_addresses": ["10.0.0.0/33"]},
        {"user_agent": "Mozilla 5"[8:]},
        {"min_side_px": 10_000},
        {"robots": "maybe"},
    ],
)
def test_a_config_that_cannot_work_is_an_error_that_names_the_field(values: dict[str, object]):
    with pytest.raises(UserError, match=next(iter(values))):
        resolve(DownloadConfig, values)


class Names:
    """A name server that gives one answer after the other."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[AddressInfo]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [(0, 0, 0, "", (address, port)) for address in answer]


def resolved(names: Names, *, times: int = 1) -> list[list[str]]:
    async def ask() -> list[list[str]]:
        resolver = Resolver(DownloadConfig(), lookup=names)
        return [[found["host"] for found in await resolver.resolve("h.test", 80)] for _ in range(times)]

    return asyncio.run(ask())


def test_a_name_that_turns_private_later_is_not_asked_again():
    names = Names(["8.8.8.8"], ["10.0.0.7"])
    assert resolved(names, times=3) == [["8.8.8.8"]] * 3
    assert names.asked == 1


def test_a_name_with_one_private_address_is_refused():
    with pytest.raises(Refused, match="private_address"):
        resolved(Names(["8.8.8.8", "10.0.0.7"]))


def test_a_name_without_an_address_is_dns_and_a_silent_server_is_worth_another_question():
    with pytest.raises(Refused, match="dns"):
        resolved(Names(socket.gaierror(socket.EAI_NONAME, "")))
    with pytest.raises(Refused, match="dns"):
        resolved(Names(UnicodeError("label too long")))

    async def ask_twice() -> int:
        names = Names(socket.gaierror(socket.EAI_AGAIN, ""), ["8.8.8.8"])
        resolver = Resolver(DownloadConfig(), lookup=names)
        with pytest.raises(Transient, match="dns"):
            await resolver.resolve("h.test", 80)
        await resolver.resolve("h.test", 80)
        return names.asked

    assert asyncio.run(ask_twice()) == 2


def test_a_name_that_nobody_answers_for_is_left_alone_for_a_while():
    async def ask() -> tuple[list[str], int]:
        names = Names(*[socket.gaierror(socket.EAI_AGAIN, "")] * 2, ["8.8.8.8"])
        resolver = Resolver(DownloadConfig(), lookup=names)
        kinds = []
        for _ in range(4):
            with pytest.raises(Refused, match="name server does not answer") as refused:
                await resolver.resolve("h.test", 80)
            kinds.append(type(refused.value).__name__)
        return kinds, names.asked

    assert asyncio.run(ask()) == (["Transient", "Transient", "Refused", "Refused"], 2)


def test_a_name_that_is_given_up_is_asked_about_again_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.download.resolver.GIVEN_UP_S", 0.0)
    names = Names(*[socket.gaierror(socket.EAI_AGAIN, "")] * 2, ["8.8.8.8"])

    async def ask() -> str:
        resolver = Resolver(DownloadConfig(), lookup=names)
        for _ in range(2):
            with pytest.raises(Transient, match="dns"):
                await resolver.resolve("h.test", 80)
        return (await resolver.resolve("h.test", 443))[0]["host"]

    assert asyncio.run(ask()) == "8.8.8.8"


def test_a_name_server_that_is_silent_is_given_up_on():
    async def never(host: str, port: int) -> list[AddressInfo]:
        await asyncio.Event().wait()
        return []

    async def ask() -> None:
        await Resolver(DownloadConfig(dns_s=0.05), lookup=never).resolve("h.test", 80)

    with pytest.raises(Transient, match="dns"):
        asyncio.run(ask())


def test_names_that_take_long_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch):
    together = threading.Barrier(60, timeout=20)  # it opens only when all of them are asked about at once

    def wait_for_all(host: str, *args: object, **kwargs: object) -> list[AddressInfo]:
        together.wait()
        return [(0, 0, 0, "", ("8.8.8.8", 80))]

    async def ask() -> int:
        monkeypatch.setattr(socket, "getaddrinfo", wait_for_all)
        resolver = Resolver(DownloadConfig(dns_s=30))
        answers = await asyncio.gather(*(resolver.resolve(f"h{n}.test", 80) for n in range(60)))
        await resolver.close()
        return len(answers)

    assert asyncio.run(ask()) == 60


def test_no_socket_is_opened_towards_a_private_address():
    resolver = Resolver(DownloadConfig())
    with pytest.raises(OSError):
        resolver.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.7", 80)))
    resolver.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))).close()
