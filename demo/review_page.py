"""Where people look at pictures and say yes or no: a page on loopback, by keyboard, that nobody else can ask."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs import UserError
from report.local_page import HERE, serve
from report.web import Answer, answer, refusal
from storage.demo import Picture

from .bundle import PAGE
from .compile import drawn
from .review import NOTE_CHARS, groups, say, states

STATIC = {"": "review.html", "review.js": "review.js", "review.css": "review.css", "mark.svg": "mark.svg"}


class Review:
    """What the page asks, of the pictures of one demo."""

    def __init__(self, folder: Path, *, reviewer: str) -> None:
        self._folder, self._reviewer = folder, reviewer
        self._pictures = [picture for picture in drawn(folder) if not picture.reason]
        self._by_look = {picture.look: picture for picture in self._pictures}
        self._images = {image.sha256: image for picture in self._pictures for image in picture.images}

    def get(self, name: str) -> Answer:
        """Answer a request for something."""
        if name in STATIC:
            return answer((PAGE / STATIC[name]).read_bytes(), kind=(STATIC[name]).rpartition(".")[2], csp=HERE)
        if name == "pictures.json":
            return answer(json.dumps(self._listed()).encode(), kind="json", csp=HERE)
        image = self._images.get(name.removeprefix("images/"))
        return answer(image.data, kind=image.kind, csp=HERE) if image else refusal(404)

    def say(self, said: Any) -> Answer:
        """Keep a decision. Raises what is raised where it is none."""
        picture, says, note = self._by_look[said["look"]], str(said["says"]), str(said.get("note", ""))
        say(self._folder, picture, says, reviewer=self._reviewer, note=note[:NOTE_CHARS])
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


def review(folder: Path, *, reviewer: str, port: int) -> None:
    """Serve the page until it is told to stop. Raises UserError where a demo is not finished."""
    if not reviewer.strip() or not reviewer.isprintable():
        raise UserError(f"reviewer {reviewer!r}: give a name that can be read in the log")
    asked = Review(folder, reviewer=reviewer.strip())
    serve(asked.get, {"say": asked.say}, port=port, told="every decision is kept at once")
