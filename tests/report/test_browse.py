"""Browsing a run: only its own page is heard, expressions are rules, sensitive pairs are veiled, labels are kept."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs import UserError
from evaluation.filter_audit.sample import LABELS, draw, read_labels
from pipeline.captions import normalised
from pipeline.config import PipelineConfig
from pipeline.export.export import export
from pipeline.export.options import Options
from report.browse.page import Browse
from report.browse.pairs import PAGE, Pairs
from report.browse.parts import of_run, source_of
from tests.browser import browser
from tests.demo.serving import Server, ask, get, serving
from tests.factory import key_of, noise_image, selected, through

VILE = "i hate you, you fucking idiot"
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>{{7*7}}\u202egnp.exe'
EVIL_URL = "javascript:document.title=1"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    rows: list[dict[str, Any]] = [
        {"caption": f"a red apple number {number}", "scores": {"language": "en" if number % 3 else "de"}}
        for number in range(2 * PAGE)
    ]
    rows += [
        {"caption": VILE, "scores": {"hate": 0.9}},
        {"caption": "a beach", "scores": {"nsfw_score": 0.8}},
        {"caption": HOSTILE, "url": EVIL_URL},
    ]
    for row in rows:
        row["image"] = noise_image(len(row["caption"]), px=24)
    config = selected(tmp_path_factory.mktemp("browsed"), rows)
    through(config, "select")
    return config


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


KINDS = ("webdataset", "parquet", "hf", "tars of others")


@pytest.fixture(scope="module")
def folders(config: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What was kept, exported in every way; and a tar as somebody else may have written it."""
    top = tmp_path_factory.mktemp("exports")
    found = {kind: top / kind for kind in KINDS}
    for kind in KINDS[:3]:
        assert not export(config.run, Options(kind), folder=found[kind], workers=1).failed  # type: ignore[arg-type]
    found[KINDS[3]].mkdir()
    with tarfile.open(found[KINDS[3]] / "0.tar", "w") as tar:
        for number, (caption, score) in enumerate([("a red apple", 0.1), (HOSTILE, 0.2), (VILE, 0.3), ("sea", 0.9)]):
            said = {"url": EVIL_URL, "nsfw_score": score, "vector": [1, 2]}
            for name, data in {"txt": caption.encode(), "json": json.dumps(said).encode()}.items():
                _add(tar, f"{number}.{name}", data)
            _add(tar, f"{number}.jpg", noise_image(number, px=24))
    return found


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("kind", KINDS)
def test_exports_and_tars_are_looked_through_like_a_run(
    kind: str, folders: dict[str, Path], config: PipelineConfig, tmp_path: Path
):
    shown = Browse(source_of(folders[kind]), sample=None, labels=tmp_path / "labels.jsonl", who="ada")
    pairs, begin = list[dict[str, Any]](), 0
    while begin >= 0:
        data = json.loads(shown.ask({"where": "nsfw_score < 0.25", "state": "kept", "begin": begin})[2])
        assert "error" not in data, data
        pairs, begin = [*pairs, *data["pairs"]], data["next"]
    if kind == KINDS[3]:
        assert [pair["caption"] for pair in pairs] == ["a red apple", normalised(HOSTILE)]
        assert pairs[1]["url"] == EVIL_URL and pairs[1]["values"] == {"nsfw_score": 0.2}
        (sea,) = json.loads(shown.ask({"where": "nsfw_score > 0.5", "state": "all", "begin": 0})[2])["pairs"]
        assert sea["veiled"] and "caption" not in sea
        images = [noise_image(0, px=24), noise_image(1, px=24)]
    else:
        kept = Pairs(of_run(config))
        wanted, further = kept.matching("", "kept", 0)
        wanted += kept.matching("", "kept", further).pairs
        assert {pair["key"] for pair in pairs} == {pair["key"] for pair in wanted}
        assert all(pair["values"]["language"] == "en" for pair in pairs)
        places = {pair["key"]: (pair["part"], pair["row"]) for pair in wanted}
        images = [kept.image(*places[pair["key"]]) for pair in pairs]
    assert [shown.get(f"image/{pair['part']}/{pair['row']}")[2] for pair in pairs] == images
    for name in ("image/0/999", "image/9/0", "image/-1/-1", "words/0/-1"):
        assert shown.get(name)[0] == 404
    shown.label({"key": pairs[0]["key"], "rule": "", "label": "unfit"})
    assert read_labels(tmp_path / "labels.jsonl") == {(pairs[0]["key"], ""): "unfit"}


def test_what_cannot_be_looked_at_is_told(tmp_path: Path):
    for folder, words in ((tmp_path, "no tar, table or picture"), (tmp_path / "none", "is no folder")):
        with pytest.raises(UserError, match=words):
            source_of(folder)


def test_labels_do_not_stand_in_the_way_of_the_next_export(folders: dict[str, Path], config: PipelineConfig):
    folder = folders["hf"]
    (folder / LABELS).parent.mkdir()
    (folder / LABELS).write_text("{}\n")
    assert not export(config.run, Options("hf"), folder=folder, workers=1).failed
    assert (folder / LABELS).exists()


@pytest.fixture(scope="module")
def server(config: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(config.run, tmp_path_factory.mktemp("serving"), "--who", "ada", command="browse", group=()) as server:
        yield server


def address(server: Server) -> str:
    return next(word for word in server.log.read_text().split() if word.startswith("http://"))


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
@pytest.mark.parametrize("kind", ["hf", "tars of others"])
def test_an_export_in_a_browser_by_keyboard(kind: str, folders: dict[str, Path], tmp_path: Path):
    (tmp_path / "served").mkdir()
    labels = tmp_path / "labels.jsonl"
    options = ("--who", "ada", "--labels", str(labels))
    with (
        serving(folders[kind], tmp_path / "served", *options, command="browse", group=()) as server,
        browser(tmp_path) as chromium,
    ):
        page = chromium.page(address(server))
        page.until("document.querySelectorAll('#pairs li').length > 1")
        page.press("/")
        page.evaluate("document.querySelector('#where').value = \"contains(caption, '<script>')\"")
        page.press("Enter")
        page.until("document.querySelectorAll('#pairs li').length === 1")
        title = page.evaluate("document.title")
        assert page.evaluate("document.querySelector('.caption').textContent") == normalised(HOSTILE)
        page.until("document.querySelector('#pairs img').naturalWidth === 24")
        assert page.evaluate("document.querySelectorAll('#pairs a, #pairs script').length") == 0
        page.press("1")
        page.until("document.querySelector('[aria-pressed=true]')")
        assert [*read_labels(labels).values()] == ["fit"]
        assert page.evaluate("document.title") == title and page.complaints == []
        assert all(url.startswith(address(server)) for url in page.requests)
