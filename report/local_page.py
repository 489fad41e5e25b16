"""A page on loopback that only its reader can ask: behind a token in its address, another one each time.

    http://127.0.0.1:8766/<token>/        nobody else's page can guess it

Answers are only given to the host and port that it listens on, and what is said is only taken from its own page: a page
elsewhere can neither read it, nor say anything in the reader's name.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from .web import CSP, Answer, Message, Receive, Send, refusal, respond, run

MOST_BYTES = 4096  # of what is said
HERE = f"{CSP}; connect-src 'self'"

Get = Callable[[str], Answer]  # of what follows the token in the path
Say = Callable[[Any], Answer]  # of what was said, as JSON has it; ValueError, KeyError and the like are told as 400


class LocalPage:
    """The ASGI application. It has one reader, and answers one request at a time."""

    def __init__(self, get: Get, say: Mapping[str, Say], *, port: int, token: str) -> None:
        self._get, self._say = get, say
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self._base = f"/{token}/"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, await self._decide(scope, receive), is_head=scope["method"] == "HEAD")

    async def _decide(self, scope: Message, receive: Receive) -> Answer:
        headers, path = dict(scope["headers"]), scope["raw_path"].decode("latin-1")
        if headers.get(b"host") not in self._hosts or not secrets.compare_digest(
            path[: len(self._base)].encode("latin-1"), self._base.encode()
        ):
            return refusal(403)
        name = path[len(self._base) :]
        if scope["method"] in ("GET", "HEAD"):
            return self._get(name)
        if scope["method"] != "POST" or name not in self._say:
            return refusal(405)
        if headers.get(b"origin", b"").removeprefix(b"http://") not in self._hosts:
            return refusal(403)
        if headers.get(b"content-type") != b"application/json":
            return refusal(400)
        data = await _body(receive)
        if data is None:
            return refusal(413)
        try:
            return self._say[name](json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError):  # UserError is one
            return refusal(400)


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None where it is too long."""
    data = b""
    while True:
        message = await receive()
        data += message.get("body", b"")
        if len(data) > MOST_BYTES:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return data


def serve(get: Get, say: Mapping[str, Say], *, port: int, told: str) -> None:
    """Serve a page until it is told to stop. told: what is printed beside its address."""
    token = secrets.token_urlsafe(18)
    print(f"http://127.0.0.1:{port}/{token}/    stop with Ctrl-C; {told}", flush=True)
    run(LocalPage(get, say, port=port, token=token), host="127.0.0.1", port=port)
