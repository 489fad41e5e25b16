"""The quickstart's input: names, captions, pictures and the small web itself, asked by a plain client."""

import socket
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs import UserError
from quickstart.draw import plain
from quickstart.names import GROUPS, HELD_OUT, caption_of, drawings
from quickstart.planted import KINDS
from quickstart.table import all_pairs, prepare
from quickstart.web import serving


def test_every_drawing_has_a_name_of_its_own_and_a_group():
    assert len(drawings()) == 4009 == len({drawing.name for drawing in drawings()})
    assert {drawing.group for drawing in drawings()} == {*GROUPS, "Component"}
    assert min(Counter(drawing.group for drawing in drawings() if drawing.group in GROUPS).values()) >= 80


def test_families_never_straddle_the_split():
    held = {drawing.family for drawing in drawings() if drawing.held_out}
    assert sum(drawing.held_out for drawing in drawings()) == HELD_OUT
    assert all(drawing.held_out == (drawing.family in held) for drawing in drawings())
    assert len({drawing.group for drawing in drawings() if drawing.held_out}) == len(GROUPS)


def test_variants_are_of_one_family():
    family = {drawing.name: drawing.family for drawing in drawings()}
    assert family["person running"] == family["woman running, dark skin tone"] == family["man running facing right"]
    assert family["red apple"] != family["green apple"]


def test_captions_read_well():
    captions = {drawing.code: caption_of(drawing, template=0) for drawing in drawings()}
    assert captions["1f34e"] == "a drawing of a red apple, food and drink"
    assert captions["1f1eb-1f1ef"] == "a drawing of the flag of Fiji, flags"
    assert captions["1f9a6"] == "a drawing of an otter, animals and nature"


def test_rows_and_bytes_are_the_same_every_time():
    assert all_pairs(50) == all_pairs(50)
    assert plain("1f34e") == plain("1f34e")
    kinds = Counter(pair.kind for pair in all_pairs())
    assert kinds.pop("true") == 4009
    assert kinds == {kind.name: kind.count for kind in KINDS}


@pytest.mark.long
def test_a_stopped_drawing_goes_on_and_ends_the_same(tmp_path: Path):
    prepare(tmp_path, pairs=12, workers=1)
    table = (tmp_path / "table.parquet").read_bytes()
    (tmp_path / "table.parquet").unlink()
    gone = sorted((tmp_path / "web" / "pictures").iterdir())[::2]
    for file in gone:
        file.unlink()
    prepare(tmp_path, pairs=12, workers=2)
    assert (tmp_path / "table.parquet").read_bytes() == table
    assert all(file.exists() for file in gone)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory):
    run = tmp_path_factory.mktemp("web")
    prepare(run, pairs=24)
    rows = pq.read_table(run / "truth.parquet").to_pylist()
    with serving(run, port=0) as port:
        yield port, {row["kind"]: row["url"] for row in rows}


def ask(port: int, url: str) -> tuple[int, bytes]:
    """As a browser behind a proxy asks, which is how img2dataset gets there; redirects are not followed."""
    handlers = urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{port}"}), NoRedirect()
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


@pytest.mark.parametrize(
    ("kind", "status"),
    [("gone", 404), ("forbidden", 403), ("withdrawn", 410), ("broken-server", 500), ("busy", 429), ("loop", 302)],
)
def test_the_web_answers_by_the_url_alone(web, kind: str, status: int):
    port, urls = web
    assert [ask(port, urls[kind])[0] for _ in range(2)] == [status, status]


def test_pictures_that_are_none_look_as_planted(web):
    port, urls = web
    assert ask(port, urls["html"])[1].startswith(b"<!doctype")
    assert ask(port, urls["gif"])[1].startswith(b"GIF8")
    assert ask(port, urls["bomb"])[1][16:24] == (50_000).to_bytes(4, "big") * 2
    assert len(ask(port, urls["fat-unannounced"])[1]) == 8_000_000
    assert b"Disallow: /\n" in ask(port, "http://norobots.test/robots.txt")[1]


def test_a_port_in_use_is_one_line(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is in use"), serving(tmp_path, port=port):
            raise AssertionError("served on a taken port")
