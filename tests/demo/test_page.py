"""The page in a real browser: by mouse, by keyboard, from a server and from the disk."""

import hashlib
import json
import random
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from demo.vocabulary import combinations
from storage.signed import read_signed
from tests.browser import Chromium, Page, browser

from .serving import Server, serving
from .small_demo import WORDS, vocabulary

pytestmark = pytest.mark.long
SIZES = {"narrow": (360, 740), "wide": (1280, 800)}
BY_PROMPT = {each.prompt: each.key for each in combinations(vocabulary())}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def server(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(site, tmp_path_factory.mktemp("serving"), "--per-second", "0", "--no-log") as server:
        yield server


def sentence(page: Page) -> str:
    return page.evaluate("document.querySelector('#sentence').textContent")


TOP = "document.querySelector('#frame').lastElementChild"


def shows(page: Page, file: str) -> None:
    """Wait until this file is on top."""
    page.until(f"{TOP}.getAttribute('src') === {json.dumps(file)}")


def shown(page: Page) -> str:
    """The file of the picture on top, once it can be seen; or the card's words."""
    page.until(
        "(() => { const e = document.querySelector('#frame').lastElementChild; return e.complete !== false; })()"
    )
    return page.evaluate(
        "(() => { const e = document.querySelector('#frame').lastElementChild; "
        "return e.tagName === 'IMG' ? e.getAttribute('src') : e.textContent; })()"
    )


def agrees(page: Page, manifest: dict) -> bool:
    """Is what is shown the picture of what is said, and does the address name it and nothing else?"""
    key = BY_PROMPT[sentence(page)]
    assert page.evaluate("location.hash") == f"#{key}" and page.evaluate("location.search") == ""
    said = page.evaluate("document.querySelector('#live').textContent")
    assert said == sentence(page)
    if key not in manifest["pictures"]:
        return "Left out: a person looked at it and held it back." in shown(page)
    return shown(page) == manifest["pictures"][key][0][-1]


@pytest.mark.parametrize("size", SIZES)
def test_every_group_changes_by_mouse_and_by_keyboard(size: str, chromium: Chromium, server: Server, site: Path):
    manifest = read_signed(site).manifest
    page = chromium.page(server.url, width=SIZES[size][0], height=SIZES[size][1])
    for number, gaps in enumerate((("medium", "thing"), ("medium", "colour"))):
        page.click("#kinds button", number)
        for place, group in enumerate(gaps):
            seen = []
            for _ in WORDS[group]:  # by mouse, once around
                page.click("#sentence .word", place)
                assert agrees(page, manifest)
                seen.append(page.evaluate(f"document.querySelectorAll('.word')[{place}].textContent"))
            assert sorted(seen) == sorted(WORDS[group])
            page.evaluate(f"document.querySelectorAll('.word')[{place}].focus()")
            for key, turns in (("ArrowDown", 1), ("ArrowUp", -1), ("Enter", 1), (" ", 1)):
                before = page.evaluate(f"document.querySelectorAll('.word')[{place}].textContent")
                page.press(key)
                words = WORDS[group]
                after = words[(words.index(before) + turns) % len(words)]
                assert page.evaluate("document.activeElement.textContent") == after
                assert agrees(page, manifest)
            for row, word in enumerate(WORDS[group]):  # from the list of the group's words
                page.click("#words button", row)
                assert page.evaluate(f"document.querySelectorAll('.word')[{place}].textContent") == word
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_the_whole_page_can_be_reached_by_tab(chromium: Chromium, server: Server):
    page = chromium.page(server.url)
    reached = []
    for _ in range(40):
        page.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        visible = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        if page.evaluate("document.activeElement === document.body"):
            break
        assert visible == "solid", name
        reached.append(name)
    assert {"16", "64", "shuffle", "things", "a drawing", "a lemon", "About these pictures"} <= {*reached}


def test_sentence_and_picture_agree_at_fifty_random_states(chromium: Chromium, server: Server, site: Path):
    signed = read_signed(site)
    page, dice = chromium.page(server.url), random.Random(7)
    states = set()
    for _ in range(50):
        if dice.random() < 0.3:
            page.click("#shuffle")
        elif dice.random() < 0.2:
            page.click("#kinds button", dice.randrange(2))
        else:
            page.click("#sentence .word", dice.randrange(2))
        assert agrees(page, signed.manifest)
        states.add(sentence(page))
        if (file := shown(page)) in signed.manifest["files"]:
            assert hashlib.sha256(page.content(f"{server.url}{file}")).hexdigest() == signed.manifest["files"][file]
    assert len(states) > 8
    assert {request.split("/")[2] for request in page.requests} == {f"127.0.0.1:{server.port}"}


def test_the_address_brings_a_visitor_to_a_sentence_and_nonsense_to_the_first(
    chromium: Chromium, server: Server, site: Path
):
    manifest = read_signed(site).manifest
    prompt, key = "an emoji of a green circle", BY_PROMPT["an emoji of a green circle"]
    page = chromium.page(f"{server.url}#{key}")
    assert sentence(page) == prompt and agrees(page, manifest)
    for nonsense in ("#a%20woman", "#<img src=x onerror=alert(1)>", "#__proto__", "#0123456789abcdef"):
        page = chromium.page(f"{server.url}{nonsense}")
        assert agrees(page, manifest) and page.complaints == []


def test_sizes_are_looked_at_by_hover_and_chosen_by_a_click(chromium: Chromium, server: Server, site: Path):
    manifest = read_signed(site).manifest
    page = chromium.page(server.url)
    small, large = manifest["pictures"][BY_PROMPT[sentence(page)]][0]
    assert shown(page) == large
    where = page.evaluate(
        "(() => { const r = document.querySelector('#sizes button').getBoundingClientRect(); "
        "return [r.x + 20, r.y + 20]; })()"
    )
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=where[0], y=where[1])
    shows(page, small)
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    shows(page, large)
    page.click("#sizes button", 0)
    page.click("#sentence .word", 1)
    assert shown(page) == manifest["pictures"][BY_PROMPT[sentence(page)]][0][0]
    first = shown(page)
    page.click("#another")
    assert shown(page) == manifest["pictures"][BY_PROMPT[sentence(page)]][1][0] != first


def test_it_works_from_the_disk_as_a_folder(chromium: Chromium, site: Path):
    manifest = read_signed(site).manifest
    page = chromium.page((site / "index.html").as_uri())
    for place in (0, 1, 1):
        page.click("#sentence .word", place)
        assert agrees(page, manifest)
    page.click("#shuffle")
    assert agrees(page, manifest)
    assert page.evaluate("document.querySelector('#frame img').naturalWidth") == 64
    assert page.complaints == [] and all(url.startswith("file://") for url in page.requests)


def test_neighbours_are_there_before_the_click_and_motion_is_reduced_when_asked(chromium: Chromium, server: Server):
    page = chromium.page(server.url, reduced_motion="reduce")
    page.until("performance.getEntriesByType('resource').length >= 8")
    before = len(page.requests)
    page.click("#sentence .word", 1)
    assert page.evaluate("document.querySelector('#frame img').complete")
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("document.querySelector('#frame').childElementCount") == 1
    assert before > 5
    moving = chromium.page(server.url, reduced_motion="no-preference")
    moving.click("#sentence .word", 1)
    moving.until("document.querySelector('#frame').childElementCount === 1")  # the one before goes when it has faded
    assert moving.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(size: str, scheme: str, chromium: Chromium, server: Server):
    page = chromium.page(server.url, width=SIZES[size][0], height=SIZES[size][1], color_scheme=scheme)
    page.evaluate("document.querySelector('details').open = true")
    page.until("document.getAnimations().length === 0")
    page.evaluate((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8") + "; 0")
    results = page.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
    assert results == []
    assert page.evaluate("axe.run().then(r => r.passes.length)") > 15
