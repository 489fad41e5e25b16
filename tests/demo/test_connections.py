"""Slow clients: whatever they dribble, they hold neither a connection for long nor the server at all."""

import itertools
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn

from demo.serve import Site
from report import connections
from report.connections import Room
from report.web import server_of
from storage.signed import Signed

from .serving import ask, get, serving

SLOW = 300  # connections of the attacker
CAP = 20
LARGE = bytes(16 * 1024 * 1024)  # more than the sockets of both ends hold
BEGUN = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "headers": b"GET / HTTP/1.1\r\nHost: a\r\nX-",
    "after an answer": get("/").replace(b"Connection: close\r\n", b""),
}


@contextmanager
def served(app: Any, *, cap: int = 64) -> Iterator[tuple[int, uvicorn.Server]]:
    """Run the server in a thread, as `corgi demo serve` runs it; give its port, too."""
    server, sock = server_of(app, host="127.0.0.1", port=0, connections=cap)
    thread = Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield sock.getsockname()[1], server
    finally:
        server.should_exit = True
        thread.join()


def small_site(**files: bytes) -> Site:
    content = {"index.html": b"<p>hello</p>", **{f"files/{name}.png": data for name, data in files.items()}}
    return Site(Signed(content, {}, "0" * 64), rate=None, log=None)


def is_over(client: socket.socket) -> bool:
    """Tell whether the server has ended a connection; what it still says is passed over."""
    try:
        while select.select([client], [], [], 0)[0]:
            if not client.recv(65536):
                return True
    except OSError:
        return True
    return False


def test_hundreds_of_slow_connections_of_one_client_keep_no_other_away(site: Path, tmp_path: Path):
    with (
        serving(site, tmp_path, "--connections", str(CAP), "--per-second", "0", "--no-log") as server,
        ExitStack() as open_ones,
    ):
        slow = [
            open_ones.enter_context(
                socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0))
            )
            for _ in range(SLOW)
        ]
        for dribbled in (b"GET / HTTP/1.1\r\n", b"X-", b"a"):
            for client in slow:
                try:
                    client.sendall(dribbled)
                except OSError:
                    continue  # it was turned away
            assert [ask(server.port, get("/"), source="127.0.0.3")[0] for _ in range(10)] == [200] * 10
        while sum(map(is_over, slow)) < SLOW - CAP:
            select.select(slow, [], [])
        assert ask(server.port, get("/"), source="127.0.0.2")[0] in (0, 200)  # 0: its own slow ones fill its share


@pytest.mark.parametrize("begun", sorted(BEGUN))
def test_a_request_that_dribbles_is_ended_at_its_deadline(begun: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)
    with served(small_site()) as (port, _), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(BEGUN[begun])
        for _ in range(1000):
            if is_over(client):
                break
            select.select([client], [], [], 0.02)
            try:
                client.sendall(b"a" if begun == "headers" else b"")
            except OSError:
                break
        else:
            pytest.fail("it is still open")


def test_an_answer_that_nobody_takes_is_ended_and_one_that_is_taken_arrives_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)
    monkeypatch.setattr(connections, "TAKEN_S", 0.5)
    request = get("/files/large.png").replace(b"Connection: close\r\n", b"")
    is_held = False
    with served(small_site(large=LARGE)) as (port, server):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(request)
            while not is_held:  # the answer is on its way
                is_held = len(server.server_state.connections) == 1
            for _ in range(1000):
                if not server.server_state.connections:
                    break
                time.sleep(0.02)
            else:
                pytest.fail("it is still open")
        status, data = ask(port, request)
        assert status == 200 and len(data) > len(LARGE)


def test_many_requests_at_once_are_answered_over_one_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "REQUEST_S", 5.0)
    one = get("/").replace(b"Connection: close\r\n", b"")
    with served(small_site()) as (port, _):
        data = ask(port, one * 50 + get("/"))[1]
        assert data.count(b"HTTP/1.1 200 ") == 51


def test_what_is_not_http_is_refused_with_the_same_guards():
    with served(small_site()) as (port, _):
        for request in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET /\r\n\r\n"):
            status, data = ask(port, request)
            assert status == 400 and b"x-content-type-options: nosniff" in data and b"default-src 'none'" in data
        # A good request whose body is nonsense gets one answer, not two.
        data = ask(port, get("/", "Transfer-Encoding: chunked", body=b"nonsense\r\n"))[1]
        assert data.count(b"HTTP/1.1 ") == 1 and data.startswith(b"HTTP/1.1 400")


class Stub:
    """A connection as Room sees it."""

    def __init__(self) -> None:
        self.ended = 0
        self.transport = self

    def abort(self) -> None:
        self.ended += 1


def test_who_was_answered_longest_ago_makes_room():
    room, made = Room(2, in_all=4), [Stub() for _ in range(7)]
    inside: list[Any] = made
    entered = [room.enter(one, client) for one, client in zip(inside, "aaabbcc", strict=True)]
    assert entered == [True, True, False, True, True, True, True]
    assert [one.ended for one in made] == [1, 1, 0, 0, 0, 0, 0]  # the first two made room
    room.answered(inside[3])
    room.leave(inside[6])
    assert room.enter(inside[0], "d") and room.enter(inside[1], "e")
    assert [one.ended for one in made[3:5]] == [0, 1]
    unbounded = Room(0, in_all=100)
    assert all(unbounded.enter(one, "a") for one in itertools.islice(iter(Stub, None), 50))  # type: ignore[arg-type]
