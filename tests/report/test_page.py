"""The page: its numbers are the funnel's, text stays text, and what is not for everyone is not there to be seen."""

import base64
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies
from jinja2 import UndefinedError
from markupsafe import Markup

from configs import steps
from configs.steps import StepEntry
from pipeline.funnel import EXAMPLES, FUNNEL
from pipeline.runner import build
from report.album import ROOMS
from report.chart import Line, Scale, chart
from report.page import PAGE, write_report
from report.render import ENVIRONMENT, HERE, clean
from report.sensitive import pack
from storage import duplicates, keep_list, ledger
from storage.atomic import commit_json, read_json
from storage.demo import SITE
from storage.samples import FIGURES
from storage.shard import Shard
from tests.factory import selected

from .trained_run import learned, sampled

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
        self.sections: dict[str, list[str]] = {}
        self._section = ""
        self._name: str | None = None
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append((tag, known))
        self._silent += tag in ("script", "style")
        if tag == "section":
            self._section = known["id"] or ""
        names = [name for name in known if name in ("data-reason", "data-level", "data-lost")]
        self._name = f"{names[0]} {known[names[0]]}" if names else None

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")
        self._section = "" if tag == "section" else self._section

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)
            self.sections.setdefault(self._section, []).append(data)
        if self._name:
            self.numbers[self._name], self._name = int(data.replace(",", "")), None

    def words_of(self, *sections: str) -> str:
        return " ".join(" ".join(self.sections[section]) for section in sections)

    @property
    def text(self) -> str:
        values = [value for _, known in self.tags for name, value in known.items() if value and name != "data-veil"]
        return "\n".join([*self.words, *values])


def report(folder: Path, pairs: list[dict], dropped: Sequence[dict] = ()) -> tuple[str, Path]:
    config = selected(folder, pairs, dropped)
    return write_report(config).read_text(encoding="utf-8"), config.run


def good(count: int = 4) -> list[dict]:
    return [{"caption": f"an image of a duck, number {number}"} for number in range(count)]


def test_with_nothing_but_a_funnel_its_numbers_are_those_of_funnel_json(tmp_path: Path):
    lost = [{"caption": f"a lost duck {number}", "status": "http_404"} for number in range(11)]
    foreign = [{"caption": "eine Ente", "scores": {"language": "de", "nsfw_score": 0.9}}]
    pairs = [*good(), {"caption": "a goose held out"}, *lost, *foreign]
    text, run = report(tmp_path, pairs, [{"url": "ftp://a", "caption": "x", "reasons": ["bad_scheme", "no_words"]}])
    funnel, seen = read_json(run / FUNNEL), Seen(text).numbers
    for step, counts in funnel["counts"].items():
        for reason, count in counts.items():
            assert seen[f"data-reason {step}.{reason}"] == count
        assert seen.get(f"data-lost {step}", 0) == sum(counts.values())
    levels = {"rows": 18, "planned": 17, "stored": 6, "kept": 5, "train": 4}
    assert {name: seen[f"data-level {name}"] for name in levels} == levels
    assert {name: funnel["totals"][name] for name in ("rows", "kept", "train")} == {"rows": 18, "kept": 5, "train": 4}
    assert "also failed: no_words" in text
    assert "also failed: safe" not in text  # that pair is veiled, and all that is said of it
    assert "8 of 11" in text
    assert "CC-BY 4.0" in text


def test_what_hosts_asked_for_and_served_is_told_by_protocol_and_host(tmp_path: Path):
    def lost(status: str, host: str, number: int, detail: str = "") -> dict:
        url = f"http://{host}/{status}-{number}.jpg"
        return {"caption": "a duck", "url": url, "status": status, "detail": detail}

    pairs = [
        *good(),
        *(lost("opt_out", f"{host}.test", number, "x-robots-tag noai") for host in "ab" for number in range(2)),
        lost("opt_out", "c.test", 0, "content-usage train-ai=n"),
        lost("robots_txt", "d.test", 0, "d.test disallows it to corgi"),
        *(lost("hash_mismatch", "swapped.test", number) for number in range(3)),
        {"caption": "an untouched duck", "url": "http://swapped.test/same.jpg"},
    ]
    text, run = report(tmp_path, pairs)
    funnel = read_json(run / FUNNEL)
    assert funnel["opt_outs"] == {
        "x-robots-tag": {"pairs": 4, "hosts": 2},
        "content-usage": {"pairs": 1, "hosts": 1},
        "robots.txt": {"pairs": 1, "hosts": 1},
    }
    assert funnel["swapped"] == [{"host": "swapped.test", "pairs": 3, "stored": 1}]
    assert 'data-protocol="content-usage"' in text and 'data-swapped="swapped.test"' in text
    assert "What hosts asked for" not in report(tmp_path / "other", good())[0]


def test_text_from_the_web_stays_text(tmp_path: Path):
    pairs = good()
    for number, attack in enumerate(ATTACKS):
        pairs.append(
            {"caption": f"{attack} kept {number}", "url": f"http://a.test/{attack}{number}", "license": attack}
        )
        pairs.append({"caption": f"{attack} lost {number}", "status": "corrupt", "detail": attack})
        pairs.append({"caption": f"{attack} dropped", "url": f"{attack}{number}", "scores": {"language": attack}})
    dropped = [{"url": attack, "caption": attack, "reasons": ["bad_url"]} for attack in ATTACKS]
    config = selected(tmp_path, pairs, dropped)
    figure = {"figure": 1.0, "bar": ATTACKS[1], "holds": True, "says": ATTACKS[2]}
    commit_json(config.run / FIGURES, {"figures": {ATTACKS[0]: figure}, "gap": {}})
    sampled(config.run, groups=ATTACKS)
    learned(config.run, "stage")
    ledger.note(config.run, event="command", command=ATTACKS[0], seconds=1.0)
    text = write_report(config).read_text()
    seen = Seen(text)
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert {tag for tag, _ in seen.tags} <= {*TAGS.split()}
    assert not [known for _, known in seen.tags if any(name.startswith("on") for name in known)]
    links = [known[name] or "" for _, known in seen.tags for name in ("href", "src") if name in known]
    ours = re.compile(r"#\w+|data:image/(webp|png);base64,[\w+/=]+|images/[0-9a-f]{20}\.webp|\.\./[\w./%-]+\.yaml")
    assert not [link for link in links if not ours.fullmatch(link)]
    assert all(clean(attack) in seen.text for attack in ATTACKS)
    assert "\u202e" not in text and "\x00" not in text


TAGS = (
    "html head meta title style body header svg path circle h1 dl div dt dd nav a main section h2 p ol li span b i h3 "
    "small details summary code article img footer script em button figure figcaption table thead tbody tr th td line "
    "text h4 ul rect"
)


def packed(text: str) -> list[dict]:
    return [json.loads(base64.b64decode(content)) for content in re.findall(r'data-veil="([^"]+)"', text)]


def test_hateful_words_and_unsafe_pictures_are_packed_away(tmp_path: Path):
    pairs = [
        *good(),
        {"caption": HATEFUL, "url": "http://a.test/blorgs.jpg", "scores": {"hate": 0.9}},
        {"caption": f"{HATEFUL} lost", "status": "http_404", "detail": "nothing about Blorgs here"},
        {"caption": "a nude swan", "scores": {"nsfw_score": 0.9}},
        {"caption": "un cigno nudo", "scores": {"language": "it", "nsfw_score": 0.9}},
        {"caption": "ein Schwan", "scores": {"language": "de"}, "nsfw": "NSFW"},
    ]
    dropped = [{"url": "ftp://a/blorgs", "caption": f"{HATEFUL} early", "reasons": ["bad_scheme"]}]
    text, _ = report(tmp_path, pairs, dropped)
    hidden = packed(text)
    assert {pair["caption"] for pair in hidden} == {
        HATEFUL,
        f"{HATEFUL} lost",
        f"{HATEFUL} early",
        "a nude swan",
        "un cigno nudo",
        "ein Schwan",
    }
    assert sum(pair.get("image", "").startswith("data:image/webp") for pair in hidden) == 4
    for word in ("Blorgs", "blorgs", "nude", "nudo", "Schwan", "swan"):
        assert word not in text
    assert text.count('aria-expanded="false"') == len(hidden)
    assert text.count('class="unveiled" hidden') == len(hidden)


def test_the_page_grows_with_what_the_run_holds(tmp_path: Path):
    text, run = report(tmp_path, [*good(), {"caption": "a goose held out"}])
    for name in ("images", "training", "figures", "time"):
        assert f'id="{name}"' not in text
    ledger.note(run, event="step", step="download", seconds=2.0, made=1)
    ledger.note(run, event="command", command="download", seconds=4.0, exit_code=0)
    learned(run, "base16")
    sampled(run)
    figures = {"gap": {"figure": 0.41, "bar": "at least 0.4", "holds": True}, "drift": {"figure": 0.5, "holds": False}}
    commit_json(run / FIGURES, {"figures": figures, "gap": {"training": {"log_snr": [-1, 1], "gap": [0.5, 0.4]}}})
    text = write_report(selected(tmp_path, [*good(), {"caption": "a goose held out"}])).read_text()
    seen = Seen(text)
    assert [known["id"] for tag, known in seen.tags if tag == "section"] == [
        "images",
        "training",
        "funnel",
        "scores",
        "figures",
        "time",
    ]
    assert "1 of 2 bars hold." in seen.text
    assert "4.0" in seen.text and "2 pairs" in seen.text  # seconds of the command, pairs a second of the step itself
    assert "64 images seen in 2 steps, not done yet" in seen.text
    assert seen.text.count("real image of an image") == 3
    assert [known.get("data-held") for tag, known in seen.tags if known.get("class") == "tile"] == ["no", "yes", "no"]
    assert len(text.encode()) < 2_000_000


@pytest.mark.parametrize(
    ("after", "handled"), [((), "6 pairs"), (("plan",), "5 pairs"), (("download",), "4 pairs"), (("embed",), "3 pairs")]
)
def test_a_step_added_to_the_registry_stands_among_the_timings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: tuple[str, ...], handled: str
):
    toy = StepEntry("toy", "shard", "Count the words.", writes=".toy.parquet", after=after)
    monkeypatch.setattr(steps, "ENTRIES", (*steps.ENTRIES, toy))
    monkeypatch.setitem(steps.STEPS, "toy", toy)
    lost, foreign = {"caption": "a lost duck", "status": "dns"}, {"caption": "Ente", "scores": {"language": "de"}}
    config = selected(
        tmp_path, [*good(3), lost, foreign], [{"url": "ftp://a", "caption": "x", "reasons": ["bad_scheme"]}]
    )
    for step in ("toy", "plan"):
        ledger.note(config.run, event="step", step=step, seconds=1.0, made=1)
    rows = re.findall(r'<i class="key"[^>]*></i>(\w+)</th>.*?<td>(\d+ pairs)</td>', write_report(config).read_text())
    assert rows == [("plan", "6 pairs"), ("toy", handled)]


def test_a_run_without_groups_bars_or_held_out_pairs_has_no_words_for_them(tmp_path: Path):
    config = selected(tmp_path, good())
    sampled(config.run, groups=(), px=(64, 256), real=False, held_out=False)
    learned(config.run, "base64", splits=("train",))
    commit_json(config.run / FIGURES, {"figures": {"images a second": {"figure": 2.5, "bar": None, "holds": None}}})
    text = write_report(config).read_text()
    seen = Seen(text)
    assert "data-filter" not in re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)
    assert "images a second" in seen.text and "2.5" in seen.text
    for words in ("bars", "bar", "held out", "real", "verdict", "holds"):
        assert words not in seen.words_of("images", "training", "figures"), words
    for words in ("drawing", "picture", " names."):
        assert words not in seen.text, words


def test_a_copy_is_shown_with_the_pair_it_is_a_copy_of(tmp_path: Path):
    config = selected(tmp_path, good(2))
    shard = Shard(config.run, 0)
    keeper, copy = keep_list.read(shard, ["key"])["key"].to_pylist()
    row = {"shard": 0, "key": copy, "kind": "exact", "keeper": keeper}
    rows = [{**row, "kind": "caption", "keeper": "another"}, row]
    duplicates.write(config.run, [pa.Table.from_pylist(rows, schema=duplicates.SCHEMA)], fingerprint="made")
    select = config.select.model_copy(update={"rules": {"no_exact_copy": "not exact_copy"}})
    config = config.model_copy(update={"select": select})
    build("select", config)(shard)
    assert f"exact_copy = True, copy of {keeper}</p>" in write_report(config).read_text()


def test_images_end_where_the_budget_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = selected(tmp_path, good())
    sampled(config.run)
    assert "are shown here" not in write_report(config).read_text()
    monkeypatch.setitem(ROOMS, "samples", 400)
    text = write_report(config).read_text()
    assert "1 of 3 are shown here" in text and text.count('class="tile"') == 1


def test_a_page_of_words_to_click_is_linked_where_there_is_one(tmp_path: Path):
    config = selected(tmp_path, good())
    assert "Click words" not in write_report(config).read_text()
    (config.run / SITE).mkdir(parents=True)
    (config.run / SITE / "index.html").write_text("the page")
    links = [known["href"] for tag, known in Seen(write_report(config).read_text()).tags if tag == "a"]
    (link,) = [href for href in links if href and not href.startswith("#")]
    assert (config.run / PAGE.parent / link).read_text() == "the page"


def test_a_page_of_the_same_run_is_the_same_file(tmp_path: Path):
    config = selected(tmp_path, good())
    assert write_report(config).read_bytes() == write_report(config).read_bytes()
    assert config.run / PAGE == tmp_path / "run" / "report" / "index.html"


def test_every_value_of_a_template_is_escaped_and_cleaned():
    template = ENVIRONMENT.from_string('<p title="{{ value }}">{{ value }}{{ "b: " ~ value }}{{ value|e }}</p>')
    for value, shown in {"1 < 2": "1 &lt; 2", '">': "&#34;&gt;", "\ud800\x1b\u202e": "\ufffd" * 3}.items():
        assert template.render(value=value) == f'<p title="{shown}">{shown}b: {shown}{shown}</p>'
    assert ENVIRONMENT.from_string("{{ value }}{{ empty }}").render(value=Markup("<b>\x00"), empty=None) == "<b>\ufffd"
    content = pack({"caption": "turned \u202e"})
    assert packed(f'data-veil="{content}"') == [{"caption": "turned \ufffd"}]
    with pytest.raises(UndefinedError):
        ENVIRONMENT.from_string("{{ nothing }}").render()


def test_templates_keep_values_in_quotes_and_away_from_scripts():
    for path in (HERE / "templates").glob("*.j2"):
        text = re.sub(r"{#.*?#}", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\|\s*safe|Markup|autoescape|xmlattr|tojson|javascript:", text), path
        blanked = re.sub(r"{{.*?}}", "VALUE", re.sub(r"{%.*?%}", "", text, flags=re.DOTALL), flags=re.DOTALL)
        for tag in re.findall(r"<[a-z][^>]*>", blanked):
            assert "VALUE" not in re.sub(r'"[^"]*"', "", tag), tag
            assert not re.search(r"\son[a-z]+=", tag), f"{tag}: behaviour belongs into the page's one script"
        values = re.findall(r"<(?:script|style)>(.*?)</", text)
        assert values == (['{{ own("report.css") }}', "{{ script }}"] if path.stem == "page.html" else [])


@pytest.mark.parametrize("points", [[], [(0, float("nan"))], [(0, 0.0)]])
def test_a_chart_of_nothing_says_so(points: list[tuple[float, float]]):
    assert "t: nothing measured yet" in drawn([Line("a", points, 0)])


def test_a_chart_keeps_names_apart_and_numbers_at_hand():
    lines = [Line(f"line {n}", [(0, 1.0), (10, 0.5 + n * 1e-6)], n) for n in range(8)]
    svg = drawn(lines)
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start"', svg))
    assert len(heights) == 8 and min(b - a for a, b in pairwise(heights)) > 12
    assert svg.count("<td>") == 16


@pytest.mark.parametrize("scale", ["linear", "log"])
@settings(max_examples=40, deadline=None)
@given(values=strategies.lists(strategies.floats(-1e12, 1e12, allow_subnormal=False), min_size=1, max_size=4))
@example(values=[-0.0004])  # of a training that was validated once
@example(values=[0.0])
def test_a_chart_of_any_values_has_few_round_ticks_within_its_axis(scale, values: list[float]):
    up = chart([Line("a", list(enumerate(values)), 0)], title="t", x="x", y="y", scale=scale).up
    assert up.low <= up.high and all(up.low <= tick <= up.high * (1 + 1e-9) for tick in up.ticks())
    assert len(up.ticks()) <= 40
    assert drawn([Line("a", list(enumerate(values)), 0)], scale=scale)


def drawn(lines: list[Line], *, scale: Scale = "log") -> str:
    """A chart as it stands on the page."""
    template = ENVIRONMENT.from_string('{% from "chart.html.j2" import draw %}{{ draw(chart) }}')
    return template.render(chart=chart(lines, title="t", x="x", y="y", scale=scale))


@pytest.mark.long
def test_a_real_browser_runs_nothing_and_asks_for_nothing(tmp_path: Path):
    with asked_server() as (address, asked):
        calls = (
            f"<img src='{address}/img'><link rel=stylesheet href='{address}/css'><script src='{address}/js'></script>"
        )
        bad = [calls, *ATTACKS, f"\"><iframe src='{address}/frame'></iframe>", f"url({address}/style)"]
        pairs: list[dict] = [{"caption": attack, "url": f"{address}/{n}"} for n, attack in enumerate(bad)]
        pairs += [{"caption": f"{attack} de", "scores": {"language": "de"}} for attack in bad]
        pairs += [{"caption": f"{attack} {HATEFUL}", "status": "corrupt", "detail": attack} for attack in bad]
        pairs += [{"caption": "a nude swan", "scores": {"nsfw_score": 0.9}}]
        text, run = report(tmp_path, pairs)
        sampled(run)
        text = write_report(selected(tmp_path, pairs)).read_text()
        dom = rendered(run / PAGE, tmp_path)
        assert "<title>Corgi: run</title>" in dom
        assert dom.count("<script") == 1 and "<iframe" not in dom and "<link" not in dom and "Blorgs" not in dom
        assert "swan" not in dom and not asked
        injected = text.replace("</body>", "<script>document.title='owned'</script></body>")
        (tmp_path / "injected.html").write_text(injected)
        assert "<title>Corgi: run</title>" in rendered(tmp_path / "injected.html", tmp_path)  # the policy forbids it
        clicks = (
            "<script>document.querySelectorAll('[data-veil] button').forEach((veil) => veil.click())</script></body>"
        )
        open_text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", clicks)
        (tmp_path / "clicked.html").write_text(open_text)
        dom = rendered(tmp_path / "clicked.html", tmp_path)
        assert dom.count(HATEFUL) == EXAMPLES  # shown once clicked, as text
        assert 'alt="stored image: a nude swan"' in dom
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


def test_a_command_that_is_shown_names_the_run(tmp_path):
    config = selected(tmp_path, [*good(), {"caption": "a lost goose", "status": "dns"}])
    text = write_report(config).read_text()
    assert text.count("corgi why ") == text.count(f" --run {config.run}</code>") > 0
