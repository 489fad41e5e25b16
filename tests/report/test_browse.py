"""Browsing a run: only its own page is heard, expressions are rules, sensitive pairs are veiled, labels are kept."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs import UserError
from corgi import app
from evaluation.filter_audit.sample import LABELS, draw, read_labels
from pipeline.config import PipelineConfig
from pipeline.status import config_of
from report.browse.page import Browse
from report.browse.pairs import PAGE, Pairs
from report.browse.parts import of_run
from tests.browser import browser
from tests.demo.serving import Server, ask, get, serving
from tests.factory import key_of, through

from .browsed_run import HOSTILE, VILE, address, make


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    return make(tmp_path_factory.mktemp("browsed"))


def test_pairs_are_found_by_the_expression_of_a_rule(config: PipelineConfig):
    pairs = Pairs(of_run(config))
    first = pairs.matching("language = 'en'", "all", 0)
    second = pairs.matching("language = 'en'", "all", first.next)
    both = [pair["key"] for pair in (*first.pairs, *second.pairs)]
    assert len(first.pairs) == PAGE and second.next == -1 and len(both) == len({*both}) == 2 * PAGE * 2 // 3 + 3
    kept, dropped = (pairs.matching("", state, 0).pairs for state in ("kept", "dropped"))
    assert all(not pair["failed"] for pair in kept) and all(pair["failed"] for pair in dropped)
    for where, words in (
        ("nsfw < 1 and", "not one SQL expression"),
        ("(select 1) = 1", "uses a subquery"),
        ("read_text('/etc/passwd') <> ''", "which no rule may call"),
        ("true) or (1 = 1", "not one SQL expression"),
        ("nsfw_scor < 1", "did you mean 'nsfw_score'"),
    ):
        with pytest.raises(UserError, match=words):
            pairs.matching(where, "all", 0)


def test_what_is_sensitive_stays_veiled_until_it_is_asked_for(config: PipelineConfig):
    shown = Browse(of_run(config), sample=None, labels=config.run / "x.jsonl", who="")
    data = json.loads(shown.ask({"where": "hate > 0.5 or nsfw_score > 0.5", "state": "all", "begin": 0})[2])
    assert [pair["veiled"] for pair in data["pairs"]] == [True, True]
    assert VILE not in json.dumps(data) and "a beach" not in json.dumps(data) and "values" not in json.dumps(data)
    (vile,) = [
        pair for pair in data["pairs"] if pair["key"] == key_of({"url": "http://a.test/48.jpg", "caption": VILE})
    ]
    words = json.loads(shown.get(f"words/{vile['part']}/{vile['row']}")[2])
    assert words["caption"] == VILE and words["values"]["hate"] == pytest.approx(0.9)
    status, headers, image = shown.get(f"image/{vile['part']}/{vile['row']}")
    assert status == 200 and image[:3] == b"\xff\xd8\xff" and (b"content-type", b"image/jpeg") in headers
    for name in ("image/0/999", "image/-1/0", "image/9/0", "words/0", "words/a/b", "../config.yaml", "browse.py"):
        assert shown.get(name)[0] == 404, name


def test_a_sample_is_labelled_rule_by_rule(config: PipelineConfig, tmp_path: Path):
    drawn, path = draw(config, of_each=3), tmp_path / "labels.jsonl"
    shown = Browse(of_run(config), sample=drawn, labels=path, who="ada")
    pairs = json.loads(shown.ask({})[2])["pairs"]
    assert [(pair["key"], pair["rule"]) for pair in pairs] == [(each.key, each.rule) for each in drawn]
    assert {pair["rule"]: pair["choices"] for pair in pairs} == {
        **{rule: ["right", "wrong", "unsure"] for rule in ("english", "no_hate", "safe")},
        "": ["fit", "unsure", "english", "no_hate", "safe"],
    }
    for each, label in ((drawn[0], "wrong"), (drawn[0], "right"), (drawn[-1], "no_hate")):
        shown.label({"key": each.key, "rule": each.rule, "label": label})
    assert read_labels(path) == {(drawn[0].key, drawn[0].rule): "right", (drawn[-1].key, ""): "no_hate"}
    assert json.loads(shown.ask({})[2])["pairs"][0]["label"] == "right"
    for wrong in ({"label": "fit"}, {"rule": "other"}, {"key": "x" * 101}):
        with pytest.raises(ValueError):
            shown.label({"key": drawn[0].key, "rule": drawn[0].rule, "label": "right", **wrong})
    assert len(path.read_text().splitlines()) == 3 and json.loads(path.read_text().splitlines()[0])["who"] == "ada"


@pytest.fixture(scope="module")
def server(config: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(config.run, tmp_path_factory.mktemp("serving"), "--who", "ada", command="browse", group=()) as server:
        yield server


def test_only_its_own_page_is_heard(server: Server, config: PipelineConfig):
    token, host = address(server).split("/")[3], f"Host: 127.0.0.1:{server.port}".encode()
    own = f"Origin: http://127.0.0.1:{server.port}"

    def said(what: str, content: object, *headers: str) -> bytes:
        body = json.dumps(content).encode()
        lines = [f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
        return get(f"/{token}/{what}", *lines, method="POST", body=body).replace(b"Host: demo.test", host)

    everything = {"where": "", "state": "all", "begin": 0}
    label = {"key": "0" * 24, "rule": "", "label": "fit"}
    for request, status in [
        (get(f"/{token}/"), 403),  # another name that was made to lead here
        (get(f"/{token[::-1]}/").replace(b"Host: demo.test", host), 403),
        (get(f"/{token}/config.yaml").replace(b"Host: demo.test", host), 404),
        (said("ask", everything), 403),
        (said("ask", everything, "Origin: http://evil.test"), 403),
        (said("label", label, "Origin: null"), 403),
        (said("label", {**label, "label": "x"}, own), 400),
        (said("ask", [], own), 400),
        (said("ask", {**everything, "where": "x" * 5000}, own), 413),
        (said("other", {}, own), 405),
        (said("ask", everything, own), 200),
        (get(f"/{token}/").replace(b"Host: demo.test", host), 200),
    ]:
        assert ask(server.port, request)[0] == status, request
    assert not (config.run / LABELS).exists()


@pytest.mark.long
def test_by_keyboard_in_a_browser_where_hostile_words_run_nothing(
    server: Server, config: PipelineConfig, tmp_path: Path
):
    count = "document.querySelectorAll('#pairs li').length"
    with browser(tmp_path) as chromium:
        page = chromium.page(address(server))
        page.until(f"{count} === {PAGE}")
        title = page.evaluate("document.title")
        page.press("m")
        page.until(f"{count} === {2 * PAGE}")
        page.press("m")
        page.until(f"{count} === {2 * PAGE + 3}")
        texts = page.evaluate("[...document.querySelectorAll('.caption')].map((each) => each.textContent)")
        assert HOSTILE in texts and VILE not in texts and "a beach" not in texts
        assert page.evaluate("document.querySelectorAll('#pairs a, #pairs script').length") == 0
        page.press("/")
        page.evaluate("document.querySelector('#where').value = 'hate > 0.5'")
        page.press("Enter")
        page.until(f"{count} === 1")
        assert page.evaluate("document.querySelectorAll('#pairs img').length") == 0
        page.press("v")
        page.until("document.querySelector('.caption')")
        assert page.evaluate("document.querySelector('.caption').textContent") == VILE
        page.until("document.querySelector('#pairs img').naturalWidth === 24")
        page.press("2")
        page.until("document.querySelector('[aria-pressed=true]')")
        ((_, label),) = read_labels(config.run / LABELS).items()
        assert label == "unfit"
        assert page.evaluate("document.title") == title and page.complaints == []
        assert all(url.startswith(address(server)) for url in page.requests)


@pytest.mark.long
def test_a_sample_is_labelled_by_keyboard_and_the_audit_tells_precision(config: PipelineConfig, tmp_path: Path):
    many = {f"rule_{number}": f"length(caption) <> {number}" for number in range(9)}  # more than digits
    select = config.select.model_copy(update={"rules": {**config.select.rules, **many}})
    run = shutil.copytree(config.run, tmp_path / "run", ignore=shutil.ignore_patterns("audit"))
    through(config.model_copy(update={"run": run, "select": select}), "select")
    drawn = draw(config_of(run), of_each=4)
    (tmp_path / "served").mkdir()
    with (
        serving(run, tmp_path / "served", "--sample", "--who", "ada", command="browse", group=()) as server,
        browser(tmp_path) as chromium,
    ):
        page = chromium.page(address(server))
        page.until(f"document.querySelectorAll('#pairs li').length === {len(drawn)}")
        for number, each in enumerate(drawn):
            page.press("1" if each.rule else "1abde"[number % 5])  # right; or fit, or one of the rules
            page.until(f"document.querySelectorAll('[aria-pressed=true]').length === {number + 1}")
        assert page.complaints == []
    labels = read_labels(run / LABELS)
    assert [*labels] == [(each.key, each.rule) for each in drawn]
    kept = {label for (_, rule), label in labels.items() if not rule}
    assert len(kept) > 2 and kept <= {"fit", *many}
    assert {label for (_, rule), label in labels.items() if rule} == {"right"}
    told = CliRunner().invoke(app, ["audit", "filters", str(run)])
    assert told.exit_code == 0 and "100.0 % (" in told.output, told.output
