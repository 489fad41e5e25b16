"""A web of pages on a loopback port, by host and path, that misbehaves as each page says."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from PIL import Image

from pipeline.download.config import DownloadConfig
from pipeline.download.step import Download
from storage.shard import PAIRS, URLS, Shard
from storage.tables import write_table


@dataclass
class Page:
    """What is served under one address. Times in seconds."""

    body: bytes = b""
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    type: str = "image/jpeg"
    wait_s: float = 0.0  # before the headers
    drip: tuple[int, float] | None = None  # so many bytes, then a pause, and so on
    cut_at: int | None = None  # bytes after which the connection breaks
    chunked: bool = False  # no length is announced
    raw: bytes | None = None  # sent as it is instead of all the above, then the connection closes
    at_first: tuple[int, dict[str, str]] | None = None  # status and headers of the first answer, then the page


class Web:
    """`with serve(pages) as web_: ...`; pages may be added while it runs."""

    def __init__(self, pages: dict[str, Page]) -> None:
        self.pages = pages
        self.asked: Counter[str] = Counter()
        self.targets: list[str] = []  # of the request lines, as they were sent
        self.port = 0
        self.most_at_once: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        where = f"{host}{request.path}"
        self.asked[where] += 1
        self.targets.append(request.raw_path)
        self._now[host] += 1
        self.most_at_once[host] = max(self.most_at_once[host], self._now[host])
        try:
            return await self._answer(request, where)
        finally:
            self._now[host] -= 1

    async def _answer(self, request: web.Request, where: str) -> web.StreamResponse:
        page = self.pages.get(where) or self.pages.get("*" + request.path)
        if page is None:
            return web.Response(status=404, text="nothing here")
        if page.at_first and self.asked[where] == 1:
            return web.Response(status=page.at_first[0], headers=page.at_first[1])
        await asyncio.sleep(page.wait_s)
        if page.raw is not None:
            assert request.transport is not None
            request.transport.write(page.raw)  # type: ignore[attr-defined]
            request.transport.close()
            return web.Response()
        response = web.StreamResponse(status=page.status)
        response.content_type = page.type
        for name, value in page.headers:
            response.headers.add(name, value)
        if not page.chunked and "Content-Length" not in response.headers:
            response.content_length = len(page.body)
        await response.prepare(request)
        size, pause_s = page.drip or (1 << 16, 0.0)
        body = page.body[: page.cut_at]
        for at in range(0, len(body), size):
            await response.write(body[at : at + size])
            await asyncio.sleep(pause_s)
        if page.cut_at is not None:
            assert request.transport is not None
            request.transport.close()
        return response


@contextmanager
def serve(pages: dict[str, Page], *, kind: type[Web] = Web) -> Iterator[Web]:
    """A server in a thread of its own, on a free port of loopback."""
    web_ = kind(pages)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", web_.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        web_.port = runner.addresses[0][1]
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield web_
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def drawing(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A smooth picture in colour, another one for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    """The picture as a file."""
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def jpeg(seed: int = 0, width: int = 320, height: int = 240) -> bytes:
    """A drawing as JPEG."""
    return encoded(drawing(seed, width, height), quality=90)


def plan_shard(run: Path, urls: Sequence[str], *, number: int = 0, **columns: Sequence[object]) -> Shard:
    """A shard of a run in which these urls are planned, in this order."""
    keys = [f"{number:08x}{place:016x}" for place in range(len(urls))]
    captions = [f"what is seen at {url}" for url in urls]
    shard = Shard(run, number)
    table = pa.table({"key": keys, "url": list(urls), "caption": captions, **columns})
    write_table(shard.path(URLS), table, fingerprint="planned")
    return shard


def config_for(web_: Web, **values: object) -> DownloadConfig:
    """`.test` leads to the server, the server may be asked, and nobody waits for politeness."""
    usual = {"resolve": {"*.test": web_.target}, "allow_addresses": (web_.target,)}
    return DownloadConfig.model_validate({**usual, "host_interval_s": 0.0, "backoff_s": 0.01, **values})


def download(run: Path, web_: Web, urls: Sequence[str], **values: object) -> list[dict[str, Any]]:
    """The rows of a shard of these urls."""
    shard = plan_shard(run, urls)
    Download(config_for(web_, **values))(shard)
    return pq.read_table(shard.path(PAIRS), partitioning=None).to_pylist()
