"""What hosts wish, in every protocol, and that it is heard however it is sent."""

import gzip
import json
import zlib
from pathlib import Path

import brotli
import pytest

from pipeline.download import wishes
from pipeline.download.opt_outs import signal_word, tdmrep_as_robots, usage_denied, usage_word
from pipeline.download.robots import rules_for, use_rules_for

from .download_server import Page, download, jpeg, serve

PICTURE = jpeg(1)
TDMREP = "/.well-known/tdmrep.json"


@pytest.fixture(autouse=True)
def _no_wishes_kept():
    wishes._kept.clear()


def text(body: str | bytes, **values: object) -> Page:
    return Page(body if isinstance(body, bytes) else body.encode(), type="text/plain", **values)  # type: ignore[arg-type]


def outcome(tmp_path: Path, *files: tuple[str, Page], path: str = "/x.jpg", **values: object) -> tuple[str, str | None]:
    """Status and detail of a picture on a host with these files."""
    pages = {f"a.test{name}": page for name, page in files} | {"*/x.jpg": Page(PICTURE), "*/but/x.jpg": Page(PICTURE)}
    with serve(pages) as web_:
        row = download(tmp_path, web_, [f"http://a.test{path}"], retries=0, **values)[0]
    return row["status"], row["detail"]


ROBOTS = "User-agent: *\nDisallow: /\n"
PACKED = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (gzip.compress(ROBOTS.encode(), mtime=0), "gzip"),
        (gzip.compress(ROBOTS.encode(), mtime=0), "X-GZIP"),
        (gzip.compress(ROBOTS.encode(), mtime=0), None),  # a file that is served as it lies there
        (zlib.compress(ROBOTS.encode()), "deflate"),
        (brotli.compress(ROBOTS.encode()), "br"),
        (PACKED.compress(ROBOTS.encode()) + PACKED.flush(), "deflate"),
        (ROBOTS.encode(), "gzip"),  # says so, and is not
        (ROBOTS.encode(), "utf-8"),
        (b"\xef\xbb\xbf" + ROBOTS.encode(), None),
        (gzip.compress(ROBOTS.encode() + b"# " * 100_000_000, mtime=0), "gzip"),  # a bomb is read as far as any file
    ],
)
def test_a_packed_robots_txt_is_read(tmp_path: Path, body: bytes, label: str | None):
    headers = [("Content-Encoding", label)] if label else []
    robots = ("/robots.txt", text(body, headers=headers))
    assert outcome(tmp_path, robots) == ("robots_txt", "a.test disallows it to corgi")


@pytest.mark.parametrize(
    ("body", "label"),
    [(b"\x28\xb5\x2f\xfd\x04\x00", "zstd"), (b"\xff\xfe\x00 none", "br"), (b"\x1f\x8bgarbage", "gzip")],
)
def test_a_robots_txt_that_nobody_can_unpack_allows_nothing(tmp_path: Path, body: bytes, label: str):
    robots = ("/robots.txt", text(body, headers=[("Content-Encoding", label)]))
    assert outcome(tmp_path, robots) == ("robots_txt", "its robots.txt: bad_encoding")


@pytest.mark.parametrize(
    ("robots", "status"),
    [
        ("User-agent: img2dataset\nDisallow: /\n", "robots_txt"),
        ("User-agent: img2dataset\nDisallow: /\n\nUser-agent: corgi\nAllow: /\n", "robots_txt"),
        ("User-agent: IMG2DATASET\nUser-agent: other\nDisallow: /x\n\nUser-agent: *\nAllow: /\n", "robots_txt"),
        ("User-agent: img2dataset\nDisallow: /y\n", "ok"),
        ("User-agent: *\nDisallow: /\n\nUser-agent: corgi\nAllow: /\n", "ok"),  # "*" speaks to those that nobody names
        ("User-agent: *\nDisallow: /\n\nUser-agent: img2dataset\nAllow: /\n", "robots_txt"),
        ("User-agent: other\nDisallow: /\n", "ok"),
    ],
)
def test_what_robots_txt_says_to_img2dataset_it_says_to_us(tmp_path: Path, robots: str, status: str):
    assert outcome(tmp_path, ("/robots.txt", text(robots)))[0] == status


def test_whose_opt_outs_are_shared_is_for_the_config(tmp_path: Path):
    robots = text("User-agent: img2dataset\nDisallow: /\n")
    assert outcome(tmp_path, ("/robots.txt", robots), opt_out_agents=())[0] == "ok"


SIGNAL = "content-signal ai-train=no (robots.txt)"
USAGE = "content-usage train-ai=n (robots.txt)"


@pytest.mark.parametrize(
    ("robots", "detail"),
    [
        ("User-Agent: *\nContent-Signal: search=yes,ai-train=no\nAllow: /\n", SIGNAL),
        ("User-agent: *\ncontent-signal : AI-Train = No # ours\n", SIGNAL),
        ("User-agent: img2dataset\nContent-Signal: ai-train=no\n", SIGNAL),
        ("User-agent: *\nContent-Signal: /x ai-train=no\n", SIGNAL),
        ("User-agent: *\nContent-Signal: ai-train=no\nContent-Signal: /x.jpg ai-train=yes\n", None),
        ("User-agent: *\nContent-Signal: search=no, ai-input=no\n", None),
        ("User-agent: *\nContent-Signal: ai-train=yes\n", None),
        ("User-agent: other\nContent-Signal: ai-train=no\n", None),
        ("User-agent: other\nDisallow: /\nUser-agent: *\nContent-Signal: ai-train=no\n", SIGNAL),
        ("# Content-Signal: ai-train=no\n", None),
        ("User-agent: *\nAllow: /\nContent-Usage: train-ai=n\nContent-Usage: /but/ train-ai=y\n", USAGE),
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /*.jpg$ train-ai=n\n", USAGE),
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: train-ai=n\n", USAGE),  # no and yes are no
        ("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /x search=y\n", USAGE),
        ("User-agent: *\nContent-Usage: search=n\n", None),
        ("User-agent: *\nContent-Usage: /y train-ai=n\n", None),
        ("User-agent: *\nContent-Usage: train-ai=n\n\nUser-agent: corgi\nContent-Usage: train-ai=y\n", None),
    ],
)
def test_robots_txt_says_what_may_be_trained_on(tmp_path: Path, robots: str, detail: str | None):
    assert outcome(tmp_path, ("/robots.txt", text(robots))) == ("opt_out" if detail else "ok", detail)


def test_a_longer_path_may_be_trained_on(tmp_path: Path):
    robots = text("User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /but/ train-ai=y\n")
    assert outcome(tmp_path, ("/robots.txt", robots), path="/but/x.jpg") == ("ok", None)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        (["train-ai=n"], "content-usage train-ai=n"),
        (["search=y", 'train-ai=n;why="a, train-ai=y"'], "content-usage train-ai=n"),
        (["bots=n"], "content-usage bots=n"),
        (["train-ai=n, train-ai=y"], None),  # RFC 9651: the last of equal keys
        (["search=n"], None),
        (["train-ai=y, bots=n"], None),  # the narrower category has its own answer
        (['train-ai="n"'], None),
    ],
)
def test_a_content_usage_header_is_heard(tmp_path: Path, headers: list[str], detail: str | None):
    page = Page(PICTURE, headers=[("Content-Usage", value) for value in headers])
    assert outcome(tmp_path, ("/x.jpg", page)) == ("opt_out" if detail else "ok", detail)
    if detail:
        assert outcome(tmp_path / "no", ("/x.jpg", page), opt_out_protocols=())[0] == "ok"


RESERVED = f"tdmrep tdm-reservation=1 ({TDMREP})"


@pytest.mark.parametrize(
    ("rules", "detail"),
    [
        ([{"location": "/", "tdm-reservation": 1}], RESERVED),
        ([{"location": "/*.jpg", "tdm-reservation": 1, "tdm-policy": "http://a.test/policy"}], RESERVED),
        ([{"location": "/", "tdm-reservation": 1}, {"location": "/x", "tdm-reservation": 0}], None),
        ([{"location": "/", "tdm-reservation": 0}, {"location": "/x", "tdm-reservation": "1"}], RESERVED),
        ([{"location": "/x", "tdm-reservation": 0}, {"location": "/x", "tdm-reservation": 1}], RESERVED),
        ([{"location": "/y", "tdm-reservation": 1}], None),
        ([{"location": "/\nAllow: /"}, 7, None, {"tdm-reservation": 1}], None),
        ("nothing", None),
    ],
)
def test_tdmrep_json_reserves_places(tmp_path: Path, rules: object, detail: str | None):
    assert outcome(tmp_path, (TDMREP, text(json.dumps(rules)))) == ("opt_out" if detail else "ok", detail)


def test_ai_txt_reserves_kinds_of_files(tmp_path: Path):
    jpegs, texts = text("User-Agent: *\nDisallow: *.jpg\n"), text("User-Agent: *\nDisallow: *.txt\nAllow: *.jpg\n")
    assert outcome(tmp_path / "1", ("/ai.txt", jpegs)) == ("opt_out", "ai.txt disallow")
    assert outcome(tmp_path / "2", ("/ai.txt", texts)) == ("ok", None)
    assert outcome(tmp_path / "3", ("/ai.txt", text("<html>User-agent: *\nDisallow: /"))) == ("ok", None)


@pytest.mark.parametrize(
    "page",
    [
        Page(status=500),
        Page(status=302, headers=[("Location", "http://10.0.0.7/")]),
        Page(raw=b"nothing\r\n\r\n"),
        Page(b"[" * 100_000),
        Page(b"\xff\xfe{}"),
        Page(b"[]", headers=[("Content-Encoding", "br")]),
    ],
)
def test_where_the_files_beside_robots_txt_fail_nothing_is_reserved(tmp_path: Path, page: Page):
    assert outcome(tmp_path, (TDMREP, page), ("/ai.txt", page)) == ("ok", None)


def test_each_file_is_asked_for_once_a_host_and_none_where_all_is_refused(tmp_path: Path):
    pages = {f"a.test/{n}.jpg": Page(PICTURE) for n in range(4)} | {"b.test/robots.txt": text(ROBOTS)}
    with serve(pages) as web_:
        urls = [f"http://a.test/{n}.jpg" for n in range(4)] + ["http://b.test/1.jpg"]
        download(tmp_path / "1", web_, urls)
        download(tmp_path / "2", web_, urls)
        files = ("/robots.txt", TDMREP, "/ai.txt")
        assert [web_.asked[f"a.test{file}"] for file in files] == [1, 1, 1]
        assert [web_.asked[f"b.test{file}"] for file in files] == [1, 0, 0]
        download(tmp_path / "3", web_, urls, opt_out_protocols=("content-signal",))
        assert [web_.asked[f"a.test{file}"] for file in files] == [2, 1, 1]


def test_ignored_wishes_are_not_asked_for(tmp_path: Path):
    both = text("User-agent: *\nDisallow: /\nContent-Signal: ai-train=no\n")
    assert outcome(tmp_path / "1", ("/robots.txt", both), robots="ignore") == ("opt_out", SIGNAL)
    assert outcome(tmp_path / "2", ("/robots.txt", both), opt_out="ignore")[0] == "robots_txt"
    with serve({"a.test/robots.txt": both, "*/x.jpg": Page(PICTURE)}) as web_:
        row = download(tmp_path / "3", web_, ["http://a.test/x.jpg"], robots="ignore", opt_out="ignore")[0]
        assert row["status"] == "ok" and set(web_.asked) == {"a.test/x.jpg"}
    assert outcome(tmp_path / "4", ("/robots.txt", Page(status=503)), robots="ignore")[0] == "ok"


def test_words_of_training_are_told_from_others():
    assert [usage_word(value) for value in ("train-ai=n", "train-ai=y", "search=n", "")] == [False, True, None, None]
    assert [signal_word(value) for value in ("ai-train=no", "ai-train=yes", "x")] == [False, True, None]
    assert usage_denied("train-genai=n, train-ai=y") == "train-genai"  # of another draft, but a no
    assert usage_denied("TRAIN-AI=N") == "train-ai"
    assert tdmrep_as_robots("{}") == tdmrep_as_robots("[") == ""


def test_rules_are_kept_for_those_only_who_are_spoken_to():
    robots = "User-agent: other\nDisallow: /\nContent-Usage: train-ai=n"
    assert rules_for(robots, ["corgi", "img2dataset"]) == []
    assert use_rules_for(robots, ["corgi"], field="content-usage", word_of=usage_word) == []
    assert [rules.agent for rules in rules_for("User-agent: *\nDisallow: /", ["corgi", "img2dataset"])] == ["corgi"]
