"""The web server of a bundle: a fixed set of paths, out of memory, and one answer to everything else.

What was verified at the start is what is served. Only GET and HEAD of exactly the paths in the manifest, without a
query, a body or a range, are answered with 200; the rest is 400, 404 or 405, and 429 for who asks too much.
"""

import time
from collections.abc import Callable
from pathlib import Path

from configs import UserError
from report.rate import Rate
from report.web import TYPES, WHOLE_HEAD_BYTES, Answer, Message, Receive, Send, answer, refusal, respond
from storage.signed import Signed, read_signed

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
        given = self._decide(scope)
        await respond(send, given, is_head=method == "HEAD")
        if self._log:  # neither who asked, nor what a stranger wrote
            known = path.decode() if path in self._answers else "(unknown)"
            verb = method if method in ("GET", "HEAD") else "(other)"
            took_ms = 1000 * (time.monotonic() - began)
            self._log(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {verb} {known} {given[0]} {took_ms:.1f} ms")

    def _decide(self, scope: Message) -> Answer:
        client = (scope.get("client") or ("", 0))[0]
        if self._rate and not self._rate.admits(client):
            return refusal(429, (b"retry-after", b"1"))
        if scope["method"] not in ("GET", "HEAD"):
            return refusal(405, (b"allow", b"GET, HEAD"))
        if scope["http_version"] not in ("1.0", "1.1"):
            return refusal(400)
        headers = dict(scope["headers"])
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > WHOLE_HEAD_BYTES:
            return refusal(400)
        if headers.get(b"content-length", b"").strip(b"0") or b"transfer-encoding" in headers:
            return refusal(400)
        if scope["query_string"] or b"range" in headers or b"expect" in headers:
            return refusal(400)
        return self._answers.get(scope["raw_path"]) or refusal(404)


def _answer(name: str, data: bytes) -> Answer:
    is_for_ever = name.startswith("files/")  # named by its content
    cache = "public, max-age=31536000, immutable" if is_for_ever else "no-cache"
    return answer(data, kind=name.rpartition(".")[2], cache=cache)


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
    if odd := sorted(name for name in signed.files if name.rpartition(".")[2] not in TYPES):
        raise UserError(f"{folder}: {odd[0]} is of a kind that no bundle has")
    return Site(signed, rate=Rate(per_second, burst) if per_second else None, log=log), signed
