"""Where people look at pictures and say yes or no: a page on loopback, by keyboard, behind a token in its address.

    http://127.0.0.1:8766/<token>/        nobody else's page can guess it, and it is another one each time

Answers are only given to the host and port that it listens on, and decisions are only taken from its own page: a page
elsewhere can neither read it, nor say anything in the reviewer's name.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs import UserError
from storage.demo import Picture

from .bundle import PAGE
from .compile import drawn
from .review import NOTE_CHARS, groups, say, states
from .web import CSP, Answer, Message, Receive, Send, answer, refusal, respond, run

MOST_BYTES = 4096  # of a decision
HERE = f"{CSP}; connect-src 'self'"
STATIC = {"": "review.html", "review.js": "review.js", "review.css": "review.css", "mark.svg": "mark.svg"}


class Review:
    """The ASGI application over the pictures of one demo."""

    def __init__(self, folder: Path, *, reviewer: str, port: int, token: str) -> None:
        self._folder, self._reviewer = folder, reviewer
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self._base = f"/{token}/"
        self._pictures = [picture for picture in drawn(folder) if not picture.reason]
        self._by_look = {picture.look: picture for picture in self._pictures}
        self._images = {image.sha256: image for picture in self._pictures for image in picture.images}

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
        if scope["method"] != "POST" or name != "say":
            return refusal(405)
        if headers.get(b"origin", b"").removeprefix(b"http://") not in self._hosts:
            return refusal(403)
        if headers.get(b"content-type") != b"application/json":
            return refusal(400)
        return self._say(await _body(receive))

    def _get(self, name: str) -> Answer:
        if name in STATIC:
            return answer((PAGE / STATIC[name]).read_bytes(), kind=(STATIC[name]).rpartition(".")[2], csp=HERE)
        if name == "pictures.json":
            return answer(json.dumps(self._listed()).encode(), kind="json", csp=HERE)
        image = self._images.get(name.removeprefix("images/"))
        return answer(image.data, kind=image.kind, csp=HERE) if image else refusal(404)

    def _say(self, data: bytes | None) -> Answer:
        if data is None:
            return refusal(413)
        try:
            said = json.loads(data)
            picture, says, note = self._by_look[said["look"]], str(said["says"]), str(said.get("note", ""))
            say(self._folder, picture, says, reviewer=self._reviewer, note=note[:NOTE_CHARS])
        except (ValueError, KeyError, TypeError, AttributeError):  # UserError is one
            return refusal(400)
        return answer(json.dumps({"state": states(self._folder)(picture)}).encode(), kind="json", csp=HERE)

    def _listed(self) -> dict[str, Any]:
        state = states(self._folder)
        order = [row for rows in groups(self._pictures) for row in rows]
        group = {row: number for number, rows in enumerate(groups(self._pictures)) for row in rows}
        listed = [_as_json(self._pictures[row], group[row], state(self._pictures[row])) for row in order]
        return {"reviewer": self._reviewer, "pictures": listed}


def _as_json(picture: Picture, group: int, state: str) -> dict[str, Any]:
    images: Sequence[dict[str, Any]] = [{"px": image.px, "sha256": image.sha256} for image in picture.images]
    return {
        "look": picture.look,
        "prompt": picture.prompt,
        "nsfw": round(picture.nsfw, 3),
        "group": group,
        "state": state,
        "images": images,
    }


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


def review(folder: Path, *, reviewer: str, port: int) -> None:
    """Serve the page until it is told to stop. Raises UserError where a demo is not finished."""
    if not reviewer.strip() or not reviewer.isprintable():
        raise UserError(f"reviewer {reviewer!r}: give a name that can be read in the log")
    token = secrets.token_urlsafe(18)
    application = Review(folder, reviewer=reviewer.strip(), port=port, token=token)
    print(f"http://127.0.0.1:{port}/{token}/    stop with Ctrl-C; every decision is kept at once", flush=True)
    run(application, host="127.0.0.1", port=port)
