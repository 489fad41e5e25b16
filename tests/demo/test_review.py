"""The review: decisions are kept, by whom and when; nobody but the reviewer's own page is heard."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs import UserError
from demo.compile import drawn
from demo.review import groups, say, states
from storage.demo import REVIEW, Picture, reviews
from tests.browser import browser

from .serving import Server, ask, get, serving


@pytest.fixture(scope="module")
def folder(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo that nobody has looked at."""
    copied = tmp_path_factory.mktemp("review") / "demo"
    shutil.copytree(demo, copied)
    (copied / REVIEW).unlink()
    return copied


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(folder, tmp_path_factory.mktemp("serving"), "--reviewer", "ada", command="review") as server:
        yield server


def address(server: Server) -> str:
    return next(word for word in server.log.read_text().split() if word.startswith("http://"))


def posted(server: Server, content: object, *headers: str, path: str = "say") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    base = "/" + address(server).split("/")[3] + "/"
    lines = [f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    request = get(f"{base}{path}", *lines, method="POST", body=body)
    return request.replace(b"Host: demo.test", f"Host: 127.0.0.1:{server.port}".encode())


@pytest.mark.long
def test_only_its_own_page_is_heard(server: Server, folder: Path):
    picture, token = next(iter(drawn(folder))), address(server).split("/")[3]
    yes, own = {"look": picture.look, "says": "approve"}, f"Origin: http://127.0.0.1:{server.port}"
    host = f"Host: 127.0.0.1:{server.port}".encode()
    for request, status in [
        (get(f"/{token}/"), 403),  # another name that was made to lead here
        (get("/").replace(b"Host: demo.test", host), 403),
        (get(f"/{token[::-1]}/pictures.json").replace(b"Host: demo.test", host), 403),
        (posted(server, yes), 403),
        (posted(server, yes, "Origin: http://evil.test"), 403),
        (posted(server, yes, "Origin: null"), 403),
        (posted(server, yes, own).replace(b"application/json", b"text/plain; xxxx"), 400),
        (posted(server, yes, own, path="other"), 405),
        (posted(server, b"{", own), 400),
        (posted(server, [], own), 400),
        (posted(server, {**yes, "look": "0" * 24}, own), 400),
        (posted(server, {**yes, "says": "publish"}, own), 400),
        (posted(server, {**yes, "note": "x" * 5000}, own), 413),
        (get(f"/{token}/images/../demo.json").replace(b"Host: demo.test", host), 404),
        (get(f"/{token}/").replace(b"Host: demo.test", host), 200),
    ]:
        assert ask(server.port, request)[0] == status, request
    assert list(reviews(folder)) == []


def test_a_decision_is_of_the_bytes_that_were_seen(demo: Path, tmp_path: Path):
    first, second, *_ = drawn(demo)
    folder = tmp_path
    say(folder, first, "approve", reviewer="ada")
    assert (states(folder)(first), states(folder)(second)) == ("approved", "unseen")
    other = first.images[0]._replace(sha256="0" * 64)
    assert states(folder)(first._replace(images=(other, *first.images[1:]))) == "unseen"
    assert states(folder)(first._replace(prompt="a drawing of a lime, food")) == "unseen"
    assert states(folder)(first._replace(reason="nsfw")) == "blocked"
    with pytest.raises(UserError, match="nobody can approve it"):
        say(folder, first._replace(reason="nsfw"), "approve", reviewer="ada")
    say(folder, first, "note", reviewer="bob", note="a bit dark")
    assert states(folder)(first) == "approved"


def test_pictures_that_look_alike_are_groups(demo: Path):
    one, two, *_ = drawn(demo)
    near = bytearray(one.pdq)
    near[0] ^= 0xFF

    def like(picture: Picture, pdq: bytes) -> Picture:
        return picture._replace(pdq=pdq)

    far = bytes(byte ^ 0xFF for byte in one.pdq)
    assert groups([one, like(two, far), like(two, bytes(near))]) == [[0, 2], [1]]
    assert groups([]) == []


@pytest.mark.long
def test_by_keyboard_in_a_browser(server: Server, folder: Path, tmp_path: Path):
    with browser(tmp_path) as chromium:
        page = chromium.page(address(server))
        page.until("document.querySelector('#prompt').textContent")
        for key, said in (("a", "approve"), ("r", "reject"), ("d", "redraw")):
            before, count = page.evaluate("document.querySelector('#prompt').textContent"), len([*reviews(folder)])
            where = page.evaluate("document.querySelector('#about').textContent")
            page.press(key)
            page.until(f"document.querySelector('#about').textContent !== {json.dumps(where)}")
            last = list(reviews(folder))[-1]
            assert len([*reviews(folder)]) == count + 1
            assert (last["says"], last["reviewer"], last["prompt"]) == (said, "ada", before)
            assert last["time"].endswith("Z")
        page.press("n")
        for letter in "dim":
            page.press(letter)
        page.press("Enter")
        page.until("document.activeElement === document.body")
        assert list(reviews(folder))[-1]["note"] == "dim"
        assert page.complaints == []
