"""The small web as clients meet it: at its address by Host header, as a proxy by absolute urls, and as a process."""

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urljoin

import pytest

from quickstart.planted import BY_NAME, DETOURS, KINDS, Pair, Step
from quickstart.table import all_pairs, file_of, prepare
from quickstart.web import ANSWERS, DRIP_S, HEADERS, SmallWeb, serving

PAIRS = 16
CANARY = b"what nobody outside should ever read"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, Pair], Path]]:
    """Port, one pair of each kind, and the folder of the pictures."""
    run = tmp_path_factory.mktemp("web")
    prepare(run, pairs=PAIRS)
    with serving(run, port=0) as port:
        yield port, {pair.kind: pair for pair in all_pairs(PAIRS)}, run / "web"


def get(port: int, url: str, *, as_proxy: bool = False) -> http.client.HTTPResponse:
    """The head of an answer, the body still to be read; redirects are not followed."""
    host, _, path = url.removeprefix("http://").partition("/")
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", url if as_proxy else f"/{path}", headers={"Host": host, "Connection": "close"})
    return client.getresponse()


@pytest.mark.parametrize("as_proxy", [False, True])
def test_what_has_a_file_is_served_as_it_lies_on_disk(web, as_proxy: bool):
    port, pairs, folder = web
    for kind in ("true", "copy", "near", "tiny", "wide", "truncated", "corrupt", "mismatch", "hateful", "foreign"):
        name = file_of(pairs[kind])
        assert name is not None
        with get(port, f"http://a.emoji.test/{name}", as_proxy=as_proxy) as answer:
            assert (answer.status, answer.read()) == (200, (folder / name).read_bytes()), kind


def test_who_opts_out_says_so_in_a_header(web):
    port, pairs, _ = web
    for kind, word in HEADERS.items():
        assert get(port, pairs[kind].url).headers["X-Robots-Tag"] == word
    assert "X-Robots-Tag" not in get(port, pairs["near"].url).headers


def follow(port: int, url: str) -> list[str]:
    """The urls that a chain of redirects goes through."""
    seen = [url]
    while (answer := get(port, seen[-1])).status in (301, 302) and len(seen) < 20:
        seen.append(urljoin(seen[-1], answer.headers["Location"]))
    return seen


def test_redirects_lead_where_they_are_meant_to(web):
    port, pairs, _ = web
    name = file_of(pairs["true"])
    assert name is not None
    bare = name.removeprefix("pictures/")
    assert follow(port, f"http://a.emoji.test/moved/{bare}")[-1] == f"http://moved.emoji.test/{name}"
    assert follow(port, f"http://a.emoji.test/moved-often/{bare}")[3] == f"http://hops.emoji.test/{name}"
    assert len(follow(port, pairs["loop"].url)) == 20
    assert get(port, pairs["to-file"].url).headers["Location"].startswith("file:")
    private = get(port, pairs["to-private"].url).headers["Location"]
    assert get(port, private, as_proxy=True).read() == CANARY  # so that a client that went there can be told


def test_busy_once_is_busy_once(web):
    port, pairs, folder = web
    name = file_of(pairs["true"])
    assert name is not None
    url = f"http://a.emoji.test/{name.replace('pictures', 'busy-once')}"
    first, second = get(port, url), get(port, url)
    assert (first.status, first.headers["Retry-After"]) == (429, "1")
    assert (second.status, second.read()) == (200, (folder / name).read_bytes())


def test_a_body_is_cut_off_and_another_drips(web):
    port, pairs, _ = web
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        get(port, pairs["cut-off"].url).read()
    began = time.monotonic()
    dripping = get(port, pairs["slow"].url)
    assert dripping.read(3) == b"\xff\xd8\xff"
    assert time.monotonic() - began >= 2 * DRIP_S
    dripping.close()


def test_nothing_outside_the_folder_is_served(web):
    port, _, _ = web
    assert get(port, "http://a.emoji.test/pictures/../../table.parquet").status == 404
    assert get(port, "http://a.emoji.test/../table.parquet", as_proxy=True).status == 404


def test_a_picture_of_two_rows_is_drawn_once(web):
    _, _, folder = web
    rows = Counter(name for pair in all_pairs(PAIRS) if (name := file_of(pair)))
    assert max(rows.values()) == 2, "the kind `twice` shares its picture"
    assert {str(file.relative_to(folder)) for file in folder.rglob("*.*")} == set(rows)


def test_every_step_that_can_lose_a_pair_has_kinds_planted():
    assert {kind.step for kind in KINDS} == set(get_args(Step)) - {"kept"}
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def serve(run: Path, port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "quickstart.web", "--run", str(run), "--port", str(port)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_typed_by_hand_a_port_in_use_is_one_line_and_wrong_use(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with serve(tmp_path, taken.getsockname()[1]) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.count("\n") == 1 and "is in use; choose another" in said


def test_it_stops_when_it_is_told_to(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(tmp_path, port) as process:
        while process.poll() is None:
            try:
                assert get(port, "http://norobots.test/robots.txt").status == 200
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_every_answer_is_for_a_kind_or_a_detour():
    assert set(ANSWERS) <= {*BY_NAME, *DETOURS, "hop-two", "hop-three"}
    assert SmallWeb.file not in ANSWERS.values()
