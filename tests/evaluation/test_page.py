"""The page: its numbers are the funnel's, text stays text, and what is not for everyone is not there to be seen."""

import base64
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evaluation.html import element, escape
from evaluation.page import PAGE, write_report
from evaluation.page_chart import Line, chart
from evaluation.picture_sets import REAL, PictureSet
from pipeline import ledger
from pipeline.files import commit_json, read_json
from pipeline.funnel import EXAMPLES, FUNNEL

from .made_run import make

ATTACKS = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</script></style></title><svg onload=document.title='owned'>",
    "' onmouseover='document.title=1' x='",
    "javascript:document.title='owned'",
    "a \u202ereversed\u2069 \x00 word &lt;b&gt;",
)
HATEFUL = "I hate these stupid Blorgs, they are ugly trash"


class Seen(HTMLParser):
    """What a browser would make of the page: elements, visible words, and numbers by their data- names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.numbers: dict[str, int] = {}
        self._name: str | None = None
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append((tag, known))
        self._silent += tag in ("script", "style")
        names = [name for name in known if name in ("data-reason", "data-level", "data-lost")]
        self._name = f"{names[0]} {known[names[0]]}" if names else None

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)
        if self._name:
            self.numbers[self._name], self._name = int(data.replace(",", "")), None

    @property
    def text(self) -> str:
        said = [value for _, known in self.tags for name, value in known.items() if value and name != "data-veil"]
        return "\n".join([*self.words, *said])


def report(folder: Path, pairs: list[dict], dropped: list[dict] | None = None) -> tuple[str, Path]:
    config = make(folder, pairs, dropped)
    return write_report(config).read_text(encoding="utf-8"), config.run


def plain(count: int = 4) -> list[dict]:
    return [{"caption": f"a drawing of a duck, number {number}"} for number in range(count)]


def test_with_nothing_but_a_funnel_its_numbers_are_those_of_funnel_json(tmp_path: Path):
    lost = [{"caption": f"a lost duck {number}", "status": "http_404"} for number in range(11)]
    foreign = [{"caption": "eine Ente", "scores": {"language": "de", "nsfw_score": 0.9}}]
    pairs = [*plain(), {"caption": "a goose held out"}, *lost, *foreign]
    text, run = report(tmp_path, pairs, [{"url": "ftp://a", "caption": "x", "reasons": ["bad_scheme", "no_words"]}])
    found, seen = read_json(run / FUNNEL), Seen(text).numbers
    for step, counts in found["counts"].items():
        for reason, count in counts.items():
            assert seen[f"data-reason {step}.{reason}"] == count
        assert seen.get(f"data-lost {step}", 0) == sum(counts.values())
    levels = {"rows": 18, "planned": 17, "stored": 6, "kept": 5, "train": 4}
    assert {name: seen[f"data-level {name}"] for name in levels} == levels
    assert {name: found["totals"][name] for name in ("rows", "kept", "train")} == {"rows": 18, "kept": 5, "train": 4}
    assert "also failed: no_words" in text
    assert "also failed: safe" not in text  # that pair is veiled, and all that is said of it
    assert "8 of 11" in text
    assert "CC-BY 4.0" in text


def test_text_from_the_web_stays_text(tmp_path: Path):
    pairs = plain()
    for number, attack in enumerate(ATTACKS):
        pairs.append(
            {"caption": f"{attack} kept {number}", "url": f"http://a.test/{attack}{number}", "license": attack}
        )
        pairs.append({"caption": f"{attack} lost {number}", "status": "corrupt", "detail": attack})
        pairs.append({"caption": f"{attack} dropped", "url": f"{attack}{number}", "scores": {"language": attack}})
    dropped = [{"url": attack, "caption": attack, "reasons": ["bad_url"]} for attack in ATTACKS]
    config = make(tmp_path, pairs, dropped)
    said = {"figure": 1.0, "bar": ATTACKS[1], "holds": True, "says": ATTACKS[2]}
    commit_json(config.run / "figures.json", {"figures": {ATTACKS[0]: said}, "gap": {}})
    ledger.note(config.run, event="command", command=ATTACKS[0], seconds=1.0)
    text = write_report(config).read_text()
    seen = Seen(text)
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert {tag for tag, _ in seen.tags} <= {*TAGS.split()}
    assert not [known for _, known in seen.tags if any(name.startswith("on") for name in known)]
    links = [known[name] for _, known in seen.tags for name in ("href", "src") if name in known]
    assert all(link and link.startswith(("#", "data:image/")) for link in links)
    assert ATTACKS[0] in seen.text
    assert "\u202e" not in text and "\x00" not in text


TAGS = (
    "html head meta title style body header svg path circle h1 dl div dt dd nav a main section h2 p ol li span b i h3 "
    "small details summary code article img footer script em button figure figcaption table thead tbody tr th td line "
    "text"
)


def veiled(text: str) -> list[dict]:
    return [json.loads(base64.b64decode(packed)) for packed in re.findall(r'data-veil="([^"]+)"', text)]


def test_hateful_words_and_unsafe_pictures_are_packed_away(tmp_path: Path):
    pairs = [
        *plain(),
        {"caption": HATEFUL, "url": "http://a.test/blorgs.jpg", "scores": {"hate": 0.9}},
        {"caption": f"{HATEFUL} lost", "status": "http_404", "detail": "nothing about Blorgs here"},
        {"caption": "a nude swan", "scores": {"nsfw_score": 0.9}},
        {"caption": "un cigno nudo", "scores": {"language": "it", "nsfw_score": 0.9}},
        {"caption": "ein Schwan", "scores": {"language": "de"}, "nsfw": "NSFW"},
    ]
    dropped = [{"url": "ftp://a/blorgs", "caption": f"{HATEFUL} early", "reasons": ["bad_scheme"]}]
    text, _ = report(tmp_path, pairs, dropped)
    hidden = veiled(text)
    assert {one["caption"] for one in hidden} == {
        HATEFUL,
        f"{HATEFUL} lost",
        f"{HATEFUL} early",
        "a nude swan",
        "un cigno nudo",
        "ein Schwan",
    }
    assert sum(one.get("picture", "").startswith("data:image/webp") for one in hidden) == 4
    for word in ("Blorgs", "blorgs", "nude", "nudo", "Schwan", "swan"):
        assert word not in text
    assert text.count('aria-expanded="false"') == len(hidden)
    assert text.count('class="unveiled" hidden') == len(hidden)


def test_the_page_grows_with_what_the_run_holds(tmp_path: Path):
    text, run = report(tmp_path, [*plain(), {"caption": "a goose held out"}])
    for name in ("pictures", "training", "figures", "time"):
        assert f'id="{name}"' not in text
    ledger.note(run, event="step", step="download", seconds=2.0, made=1)
    ledger.note(run, event="command", command="download", seconds=4.0, exit_code=0)
    learn(run / "train" / "base16")
    drawn(run)
    figures = {"gap": {"figure": 0.41, "bar": "at least 0.4", "holds": True}, "drift": {"figure": 0.5, "holds": False}}
    commit_json(
        run / "figures.json", {"figures": figures, "gap": {"training": {"log_snr": [-1, 1], "gap": [0.5, 0.4]}}}
    )
    text = write_report(make(tmp_path, [*plain(), {"caption": "a goose held out"}])).read_text()
    seen = Seen(text)
    assert [known["id"] for tag, known in seen.tags if tag == "section"] == [
        "pictures",
        "funnel",
        "training",
        "figures",
        "time",
    ]
    assert "1 of 2 bars hold." in seen.text
    assert "4.0" in seen.text and "2 pairs" in seen.text  # seconds of the command, pairs a second of the step itself
    assert "64 pictures seen in 2 steps, not done yet" in seen.text
    assert seen.text.count("real drawing of a picture") == 3
    assert [known.get("data-held") for tag, known in seen.tags if known.get("class") == "tile"] == ["no", "yes", "no"]
    assert len(text) < 8_000_000


def test_pictures_end_where_the_budget_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = make(tmp_path, plain())
    drawn(config.run)
    assert "are shown here" not in write_report(config).read_text()
    monkeypatch.setattr("evaluation.page_pictures.BUDGET_BYTES", 300)
    text = write_report(config).read_text()
    assert "1 of 3 are shown here" in text and text.count('class="tile"') == 1


def learn(folder: Path) -> None:
    """Two looks at eight noise levels."""
    folder.mkdir(parents=True)
    for step in (1, 2):
        where = {"step": step, "seen": step * 32, "event": "validation", "log_snr": list(range(8, -8, -2))}
        found = {"loss": [0.5 / step] * 8, "shuffled": [0.6] * 8, "gap": [0.1 * step] * 8}
        ledger.note(folder, **where, held_out=found, train=found)


def drawn(run: Path) -> None:
    """Two sets of pictures by two stages, and one that is half made."""
    for name, count in (("training", 2), ("held_out", 1), ("torn", 2)):
        one = PictureSet(run, name)
        rows = {"key": [f"{n}" for n in range(count)], "caption": [f"a picture {n}" for n in range(count)]}
        table = pa.table({**rows, "group": ["Flags"] * count, "held_out": [name == "held_out"] * count})
        one.write_rows(table, fingerprint="f")
        for part, px in ((REAL, 64), ("base16", 16), ("sr64", 64)):
            if name != "torn" or part == REAL:
                one.write(part, np.zeros((count, px, px, 3), np.uint8), fingerprint="f")


def test_a_page_of_the_same_run_is_the_same_file(tmp_path: Path):
    config = make(tmp_path, plain())
    assert write_report(config).read_bytes() == write_report(config).read_bytes()
    assert config.run / PAGE == tmp_path / "run" / "report" / "index.html"


def test_elements_escape_what_they_are_given():
    assert (
        element("p", "1 < 2", element("b", "&"), None, [3], class_="a b") == '<p class="a b">1 &lt; 2<b>&amp;</b>3</p>'
    )
    assert element("img", alt='"><script>', hidden=True, title=None) == '<img alt="&quot;&gt;&lt;script&gt;" hidden>'
    assert escape("\ud800\x1b") == "\ufffd\ufffd"
    with pytest.raises(AssertionError):
        element("p", onclick="alert(1)")


@pytest.mark.parametrize("points", [[], [(0, float("nan"))], [(0, 0.0)]])
def test_a_chart_of_nothing_says_so(points: list[tuple[float, float]]):
    assert "nothing measured yet" in chart([Line("a", points, 0)], title="t", x="x", y="y", scale="log")


def test_a_chart_keeps_names_apart_and_numbers_at_hand():
    lines = [Line(f"line {n}", [(0, 1.0), (10, 0.5 + n * 1e-6)], n) for n in range(8)]
    drawn = str(chart(lines, title="t", x="x", y="y", scale="log"))
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start"', drawn))
    assert len(heights) == 8 and min(b - a for a, b in pairwise(heights)) > 12
    assert drawn.count("<td>") == 16


@pytest.mark.long
def test_a_real_browser_runs_nothing_and_asks_for_nothing(tmp_path: Path):
    with asked_server() as (address, asked):
        calls = (
            f"<img src='{address}/img'><link rel=stylesheet href='{address}/css'><script src='{address}/js'></script>"
        )
        bad = [calls, *ATTACKS, f"\"><iframe src='{address}/frame'></iframe>", f"url({address}/style)"]
        pairs: list[dict] = [{"caption": one, "url": f"{address}/{n}"} for n, one in enumerate(bad)]
        pairs += [{"caption": f"{one} de", "scores": {"language": "de"}} for one in bad]
        pairs += [{"caption": f"{one} {HATEFUL}", "status": "corrupt", "detail": one} for one in bad]
        text, run = report(tmp_path, pairs)
        drawn(run)
        text = write_report(make(tmp_path, pairs)).read_text()
        dom = rendered(run / PAGE, tmp_path)
        assert "<title>Corgi: run</title>" in dom
        assert dom.count("<script") == 1 and "<iframe" not in dom and "<link" not in dom and "Blorgs" not in dom
        assert not asked
        injected = text.replace("</body>", "<script>document.title='owned'</script></body>")
        (tmp_path / "injected.html").write_text(injected)
        assert "<title>Corgi: run</title>" in rendered(tmp_path / "injected.html", tmp_path)  # the policy forbids it
        clicks = "<script>document.querySelectorAll('[data-veil] button').forEach((one) => one.click())</script></body>"
        open_text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", clicks)
        (tmp_path / "clicked.html").write_text(open_text)
        dom = rendered(tmp_path / "clicked.html", tmp_path)
        assert dom.count(HATEFUL) == EXAMPLES  # shown once clicked, as text
        assert dom.count("<script") == 2 and "<iframe" not in dom and "<title>Corgi: run</title>" in dom
        assert not asked


def rendered(page: Path, folder: Path) -> str:
    """The page's elements after Chromium has run it."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here")
    profile = folder / f"profile-{page.stem}"
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [browser, *quiet.split(), "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", page.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode()


@contextmanager
def asked_server() -> Iterator[tuple[str, list[str]]]:
    """A server that notes what it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *what: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
