"""The small web: one server on loopback that is many made-up hosts, most of them kind, some of them not.

    python -m quickstart.web --run runs/quickstart --port 8765

It answers by the Host header, and to absolute urls as an HTTP proxy would, so that any client can be sent here. The
first part of a path is the kind of pair (planted.py); what is answered depends on the url alone.
"""

import argparse
import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from configs import UserError, exit_code_of
from storage.processes import child_environment, die_with_starter

FAT_BYTES = 8_000_000  # more than the quickstart's cap on a body
DRIP_S = 0.5
DRIPS = 60  # then it hangs up: half a minute is longer than any deadline here, and a client without one goes on
START_S = 30.0
WEB = "web"  # folder of the images in the run
STATUSES = {"gone": 404, "forbidden": 403, "withdrawn": 410, "broken-server": 500}
HEADERS = {"noai": "noai", "noimageai": "noimageai", "not-for-robots": "none"}
PRIVATE = ("http://10.0.0.7/", "http://169.254.169.254/latest/", "http://127.0.0.1:1/")
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".svg": "image/svg+xml"}
Answer = Callable[["SmallWeb", web.Request, str], Awaitable[web.StreamResponse]]


class SmallWeb:
    """All hosts of one run."""

    def __init__(self, run: Path) -> None:
        self.folder = run / WEB
        self._asked: set[str] = set()  # urls that have been told to come back later

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with whatever the url deserves."""
        path = urlsplit(request.path_qs).path  # of an absolute url, too
        if path == "/robots.txt":
            return _robots(request.host)
        if request.host.split(":")[0] in ("10.0.0.7", "169.254.169.254", "127.0.0.1", "192.168.1.1"):
            return web.Response(text="what nobody outside should ever read")
        kind, _, name = path.strip("/").partition("/")
        try:
            return await ANSWERS.get(kind, SmallWeb.file)(self, request, f"{kind}/{name}")
        except ConnectionError:  # the client has heard enough
            return web.Response()

    async def file(self, request: web.Request, name: str) -> web.StreamResponse:
        """Serve the file of this kind and name."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
            return web.Response(status=404, text="not here")
        headers = {"X-Robots-Tag": HEADERS[kind]} if (kind := name.partition("/")[0]) in HEADERS else {}
        return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], headers=headers)

    async def status(self, request: web.Request, name: str) -> web.StreamResponse:
        """Answer with a status and no image."""
        return web.Response(status=STATUSES[name.partition("/")[0]], text="no picture here")

    async def busy(self, request: web.Request, name: str) -> web.StreamResponse:
        """Say to come back later, for ever."""
        return web.Response(status=429, headers={"Retry-After": "1"}, text="too many")

    async def busy_once(self, request: web.Request, name: str) -> web.StreamResponse:
        """Say to come back later, the first time."""
        if name in self._asked:
            return await self.file(request, name.replace("busy-once", "pictures"))
        self._asked.add(name)
        return await self.busy(request, name)

    async def moved(self, request: web.Request, name: str) -> web.StreamResponse:
        """Send to another host, under the plain path."""
        return _redirect(301, "http://moved.emoji.test/" + name.replace("moved/", "pictures/", 1))

    async def moved_often(self, request: web.Request, name: str) -> web.StreamResponse:
        """Send on three times, once by a relative url."""
        hops = {"moved-often": "/hop-two", "hop-two": "//hops.emoji.test/hop-three", "hop-three": "/pictures"}
        kind, _, rest = name.partition("/")
        return _redirect(302, f"{hops[kind]}/{rest}")

    async def loop(self, request: web.Request, name: str) -> web.StreamResponse:
        """Send to where it is."""
        return _redirect(302, f"/{name}")

    async def to_private(self, request: web.Request, name: str) -> web.StreamResponse:
        """Send to where a crawler must not look."""
        return _redirect(302, PRIVATE[len(name) % len(PRIVATE)] + "picture.png")

    async def to_file(self, request: web.Request, name: str) -> web.StreamResponse:
        """Send to a file of the crawler's own machine."""
        return _redirect(302, "file:///etc/hostname")

    async def html(self, request: web.Request, name: str) -> web.StreamResponse:
        """Serve a page that says it is an image."""
        return web.Response(body=b"<!doctype html><title>This picture was removed</title>", content_type="image/jpeg")

    async def fat(self, request: web.Request, name: str) -> web.StreamResponse:
        """Serve an image's beginning and then far too much, announced or not."""
        response = await _begin(request, None if name.startswith("fat-unannounced") else FAT_BYTES)
        head = (self.folder / name).read_bytes()
        await response.write(head)
        async for part in _zeros(FAT_BYTES - len(head)):
            await response.write(part)
        return response

    async def slow(self, request: web.Request, name: str) -> web.StreamResponse:
        """Serve a byte at a time, until the client gives up."""
        body = (self.folder / name).read_bytes()
        response = await _begin(request, len(body))
        for number in range(DRIPS):
            await response.write(body[number : number + 1])
            await asyncio.sleep(DRIP_S)
        return _hang_up(request, response)

    async def cut_off(self, request: web.Request, name: str) -> web.StreamResponse:
        """Hang up in the middle."""
        body = (self.folder / name).read_bytes()
        response = await _begin(request, len(body))
        await response.write(body[: len(body) // 2])
        await asyncio.sleep(0.05)  # let the half arrive before the line goes dead
        return _hang_up(request, response)


ANSWERS: dict[str, Answer] = {
    **dict.fromkeys(STATUSES, SmallWeb.status),
    "busy": SmallWeb.busy,
    "busy-once": SmallWeb.busy_once,
    "moved": SmallWeb.moved,
    "moved-often": SmallWeb.moved_often,
    "hop-two": SmallWeb.moved_often,
    "hop-three": SmallWeb.moved_often,
    "loop": SmallWeb.loop,
    "to-private": SmallWeb.to_private,
    "to-file": SmallWeb.to_file,
    "html": SmallWeb.html,
    "fat": SmallWeb.fat,
    "fat-unannounced": SmallWeb.fat,
    "slow": SmallWeb.slow,
    "cut-off": SmallWeb.cut_off,
}


def _redirect(status: int, location: str) -> web.Response:
    return web.Response(status=status, headers={"Location": location})


async def _begin(request: web.Request, length: int | None) -> web.StreamResponse:
    """Send the headers of an image; None: they do not say how long it is."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    response.content_length = length
    await response.prepare(request)
    return response


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:  # None where the client has hung up first
        request.transport.abort()
    return response


def _robots(host: str) -> web.Response:
    return web.Response(text=f"User-agent: *\nDisallow: /{'' if host.startswith('norobots') else 'private/'}\n")


async def _zeros(count: int) -> AsyncIterator[bytes]:
    for start in range(0, count, 65_536):
        yield bytes(min(65_536, count - start))


@contextmanager
def serving(run: Path, *, port: int) -> Iterator[int]:
    """Run the small web in a process of its own, up when this yields its port; 0 takes any free one."""
    listener = _listen(port)
    command = [sys.executable, "-m", "quickstart.web", "--run", str(run), "--fd", str(listener.fileno())]
    process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=child_environment())
    try:
        bound = int(listener.getsockname()[1])
        listener.close()  # the server's own copy stays open: connections wait there until it answers
        yield bound
    finally:
        process.terminate()
        process.wait(START_S)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise UserError(f"port {port} of 127.0.0.1 is in use; choose another with --port") from None
    listener.listen(512)
    return listener


def main() -> None:
    """Serve until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--run", type=Path, required=True, help="folder of a prepared quickstart")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--fd", type=int, help="a socket that listens already, instead of --port")
    options = parser.parse_args()
    die_with_starter()
    listener = socket.socket(fileno=options.fd) if options.fd is not None else _listen(options.port)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", SmallWeb(options.run).answer)
    web.run_app(app, sock=listener, print=None, access_log=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
