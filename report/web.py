"""What all servers of pages have in common: headers, kinds of files, refusals, and how a server is run."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from configs import UserError

from .connections import Room, bounded

CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
}
SAYS = {
    400: "bad request",
    403: "not allowed",
    404: "not found",
    405: "method not allowed",
    413: "too large",
    429: "too many requests",
}
WHOLE_HEAD_BYTES = 16 * 1024  # of a request
WAITING_CONNECTIONS = 256
MOST_CONNECTIONS = 64  # of one client; a browser has 6

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
Answer = tuple[int, list[Header], bytes]


def answer(data: bytes, *, kind: str, cache: str = "no-store", csp: str = CSP) -> Answer:
    """Return 200 with a body. kind: of TYPES."""
    return 200, [(b"cache-control", cache.encode()), *_always(data, TYPES[kind], csp)], data


def refusal(status: int, *further: Header) -> Answer:
    """Return a short answer that ends the connection."""
    data = f"{SAYS[status]}\n".encode()
    headers = [(b"cache-control", b"no-store"), (b"connection", b"close"), *further]
    return status, [*headers, *_always(data, "text/plain; charset=utf-8", CSP)], data


def _always(data: bytes, kind: str, csp: str) -> list[Header]:
    return [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % len(data)),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", f"{csp}; frame-ancestors 'none'".encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    ]


def _raw(given: Answer) -> bytes:
    status, headers, body = given
    lines = [b"HTTP/1.1 %d " % status, *(name + b": " + value for name, value in headers), b"", b""]
    return b"\r\n".join(lines) + body


async def respond(send: Send, given: Answer, *, is_head: bool = False) -> None:
    """Send an answer, or its head alone."""
    status, headers, body = given
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


def server_of(
    app: Any, *, host: str, port: int, connections: int = MOST_CONNECTIONS
) -> tuple[uvicorn.Server, socket.socket]:
    """Return a server and the socket it listens on. connections: of one client, 0 for any number.

    Raises UserError where the address cannot be had.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="asyncio",
        http=bounded(Room(connections), malformed=_raw(refusal(400))),  # by h11: it refuses what is not plainly HTTP
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        h11_max_incomplete_event_size=WHOLE_HEAD_BYTES,
        backlog=WAITING_CONNECTIONS,
    )
    try:
        sock = config.bind_socket()
    except SystemExit:
        raise UserError(f"{host}:{port} cannot be had: is another server there?", exit_code=1) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a body waits 40 ms for the head to be confirmed
    return uvicorn.Server(config), sock


def run(app: Any, *, host: str, port: int, connections: int = MOST_CONNECTIONS) -> None:
    """Serve an application until it is told to stop. Raises UserError where the address cannot be had."""
    server, sock = server_of(app, host=host, port=port, connections=connections)
    server.run(sockets=[sock])
