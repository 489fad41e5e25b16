"""The real server in a process of its own, and requests as bytes."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from storage.processes import child_environment

ROOT = Path(__file__).parents[2]


class Server(NamedTuple):
    """A server that listens."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def serving(
    site: Path, folder: Path, *options: str, command: str = "serve", group: tuple[str, ...] = ("demo",)
) -> Iterator[Server]:
    """Run `corgi demo serve` (or another command) until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    words = [sys.executable, "-m", "corgi", *group, command, str(site), "--port", str(port), *options]
    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    with log.open("w") as out:
        child = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        while True:
            assert child.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                continue
        yield Server(port, log)
    finally:
        child.terminate()
        child.wait()


def ask(port: int, request: bytes, *, address: str = "127.0.0.1", source: str = "127.0.0.1") -> tuple[int, bytes]:
    """Return the status and everything of the first answer; status 0 where the connection ended without one."""
    with socket.create_connection((address, port), timeout=20, source_address=(source, 0)) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            data = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            data = b""
    return (int(data[9:12]) if data.startswith(b"HTTP/1.") else 0), data


def get(path: str, *headers: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: demo.test", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
