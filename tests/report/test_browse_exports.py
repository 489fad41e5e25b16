"""Exports, and tars of others, are looked through like a run, and nothing in them runs."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from configs import UserError
from evaluation.filter_audit.sample import LABELS, read_labels
from pipeline.captions import normalised
from pipeline.config import PipelineConfig
from pipeline.export.export import export
from pipeline.export.options import Options
from report.browse.page import Browse
from report.browse.pairs import Pairs
from report.browse.parts import of_run, source_of
from tests.browser import browser
from tests.demo.serving import serving
from tests.factory import noise_image

from .browsed_run import EVIL_URL, HOSTILE, VILE, address, make

KINDS = ("webdataset", "parquet", "hf", "tars of others")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    return make(tmp_path_factory.mktemp("browsed"))


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
            _add(tar, f"{number}.png" if number == 1 else f"{number}.jpg", picture(number))
    return found


def picture(number: int) -> bytes:
    """A JPEG; number 1 is a PNG."""
    if number != 1:
        return noise_image(number, px=24)
    out = io.BytesIO()
    Image.open(io.BytesIO(noise_image(1, px=24))).save(out, "PNG")
    return out.getvalue()


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
        images = [picture(0), picture(1)]
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


@pytest.mark.long
@pytest.mark.parametrize("kind", ["hf", "tars of others"])
def test_an_export_in_a_browser_by_keyboard(kind: str, folders: dict[str, Path], tmp_path: Path):
    (tmp_path / "served").mkdir()
    labels = tmp_path / "labels.jsonl"
    options = ("--who", "ada", "--labels", str(labels), "--where", "contains(caption, '<script>')")
    with (
        serving(folders[kind], tmp_path / "served", *options, command="browse", group=()) as server,
        browser(tmp_path) as chromium,
    ):
        page = chromium.page(address(server))
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
