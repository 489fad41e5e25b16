"""All hosts of all cases on two ports of loopback: the web, and a private service behind it that nobody may reach.

It speaks to a client that asks it in the host's place and to one that takes it for a proxy. One request a connection:
what it sends is decided byte by byte.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from .case import Again, Pages, Script, answer, picture

PATIENCE_S = 60.0  # for a request to be sent


class HostileWeb:
    """`with serve(pages, canary=file) as web: ...`. canary: a picture on this machine's disk."""

    def __init__(self, pages: Pages, canary: Path) -> None:
        self.outer = self.inner = 0  # ports
        self.canary = canary
        self.asked_inside = 0  # requests that reached the private service
        self._pages = pages
        self._private = answer(picture(999))

    def fill_in(self, template: str) -> str:
        """Return a url with the ports and the file that it speaks of."""
        known = {"inner": self.inner, "outer": self.outer, "canary": self.canary}
        for name, value in known.items():
            template = template.replace(f"{{{name}}}", str(value))
        return template

    async def start(self) -> list[asyncio.Server]:
        """Listen on both ports."""
        outer = await asyncio.start_server(self._handle_outer, "127.0.0.1", 0)
        inner = await asyncio.start_server(self._handle_inner, "127.0.0.1", 0)
        self.outer, self.inner = (server.sockets[0].getsockname()[1] for server in (outer, inner))
        return [outer, inner]

    async def _handle_outer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._handle(reader, writer, inside=False)

    async def _handle_inner(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked_inside += 1
        await self._handle(reader, writer, inside=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, inside: bool) -> None:
        gone = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)
        with suppress(*gone):
            request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
            for step in self._private if inside else self._script(request.decode("latin-1")):
                await self._play(step, writer)
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    def _script(self, request: str) -> Script:
        """Return what is served. A host that is no part of this web is a private machine: through a proxy all are."""
        first, *lines = request.split("\r\n")
        target = urlsplit(first.split(" ")[1])
        host = target.hostname or next((line[5:] for line in lines if line.lower().startswith("host:")), "").strip()
        host = host.partition(":")[0].lower()
        script = self._pages.get(host + target.path)
        if script is not None:
            return script
        return answer(b"nothing here", status="404 Not Found") if host.endswith(".test") else self._private

    async def _play(self, step: bytes | float | Again, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, float):
            await asyncio.sleep(step)
            return
        data, times, pause_s = step if isinstance(step, Again) else (step, 1, 0.0)
        if b"\r\nLocation: " in data:
            data = self.fill_in(data.decode("latin-1")).encode("latin-1")
        sent = 0
        while times is None or sent < times:
            writer.write(data)
            await writer.drain()
            sent += 1
            await asyncio.sleep(pause_s)


@contextmanager
def serve(pages: Pages, *, canary: Path) -> Iterator[HostileWeb]:
    """Serve in a thread of its own."""
    web, loop = HostileWeb(pages, canary), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = asyncio.run_coroutine_threadsafe(web.start(), loop).result()

    async def stop() -> None:
        for server in servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield web
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
