"""The web server of a bundle: a fixed set of paths, out of memory, and one answer to everything else.

What was verified at the start is what is served. Only GET and HEAD of exactly the paths in the manifest, without a
query, a body or a range, are answered with 200; the rest is 400, 404, 405 or 413, and 429 for who asks too much.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn

from configs import UserError
from storage.signed import Signed, read_signed

from .bundle import CSP
from .rate import Rate

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webp": "image/webp",
}
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", f"{CSP}; frame-ancestors 'none'".encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
SAYS = {
    400: b"bad request",
    404: b"not found",
    405: b"method not allowed",
    413: b"too large",
    429: b"too many requests",
}
WHOLE_HEAD_BYTES = 16 * 1024  # of a request
OPEN_CONNECTIONS = 1000

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Log = Callable[[str], None]


class Site:
    """The ASGI application."""

    def __init__(self, signed: Signed, *, rate: Rate | None, log: Log | None) -> None:
        self._answers = {f"/{name}".encode(): _answer(name, data) for name, data in signed.files.items()}
        self._answers[b"/"] = self._answers[b"/index.html"]
        self._rate, self._log = rate, log

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began, path, method = time.monotonic(), scope["raw_path"], scope["method"]
        client = (scope.get("client") or ("", 0))[0]
        status, headers, body = self._decide(scope, client)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
        if self._log:  # neither who asked, nor what a stranger wrote
            known = path.decode() if path in self._answers else "(unknown)"
            verb = method if method in ("GET", "HEAD") else "(other)"
            took_ms = 1000 * (time.monotonic() - began)
            self._log(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {verb} {known} {status} {len(body)} {took_ms:.1f} ms")

    def _decide(self, scope: Message, client: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if self._rate and not self._rate.admits(client):
            return _refusal(429, (b"retry-after", b"1"))
        if scope["method"] not in ("GET", "HEAD"):
            return _refusal(405, (b"allow", b"GET, HEAD"))
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if length.strip(b"0") or b"transfer-encoding" in headers:
            return _refusal(413 if length.isdigit() and int(length[:20]) > WHOLE_HEAD_BYTES else 400)
        if scope["query_string"] or b"range" in headers or b"expect" in headers:
            return _refusal(400)
        found = self._answers.get(scope["raw_path"])
        return found or _refusal(404)


def _answer(name: str, data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    is_for_ever = name.startswith("files/")  # named by its content
    cache = b"public, max-age=31536000, immutable" if is_for_ever else b"no-cache"
    kind = TYPES[name.rpartition(".")[2]].encode()
    own = [(b"content-type", kind), (b"content-length", b"%d" % len(data)), (b"cache-control", cache)]
    return 200, [*own, *ALWAYS], data


def _refusal(status: int, *further: tuple[bytes, bytes]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    body = SAYS[status] + b"\n"
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    return status, [*own, (b"cache-control", b"no-store"), (b"connection", b"close"), *further, *ALWAYS], body


def site_of(
    folder: Path, *, public_key: str | None = None, per_second: float = 100.0, burst: int = 1000, log: Log | None = None
) -> tuple[Site, Signed]:
    """Return the application for a bundle that verifies. Raises UserError for one that does not, and for a draft.

    per_second, burst: requests that one client may make; 0 for any number.
    """
    signed = read_signed(folder, public_key=public_key)
    if signed.manifest.get("draft"):
        raise UserError(f"{folder} is a draft that nobody has looked at; it can be opened from the disk, not be served")
    if "index.html" not in signed.files:
        raise UserError(f"{folder} has no index.html")
    return Site(signed, rate=Rate(per_second, burst) if per_second else None, log=log), signed


def serve(app: Any, *, host: str, port: int) -> None:
    """Serve an application until it is told to stop. Raises UserError where the address cannot be had."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="asyncio",
        http="h11",  # it refuses what is not plainly HTTP, where quicker parsers guess
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=WHOLE_HEAD_BYTES,
        backlog=OPEN_CONNECTIONS,
    )
    try:
        sock = config.bind_socket()
    except SystemExit:
        raise UserError(f"{host}:{port} cannot be had: is another server there?", exit_code=1) from None
    uvicorn.Server(config).run(sockets=[sock])
