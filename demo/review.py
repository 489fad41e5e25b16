"""What people said of pictures: approved, rejected, to be drawn anew, or seen by nobody.

A decision is of what was looked at: the sentence and the bytes. A picture drawn anew, or of a sentence that changed,
has been seen by nobody.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from configs import UserError
from filters.hamming import join
from pipeline.takedown.lists import PDQ_DISTANCE
from storage.demo import Picture, note_review, reviews

State = Literal["blocked", "approved", "rejected", "redraw", "unseen"]
SAYS: dict[str, State] = {"approve": "approved", "reject": "rejected", "redraw": "redraw", "forget": "unseen"}
NOTE_CHARS = 500


def states(folder: Path) -> Callable[[Picture], State]:
    """Return what is known of each picture, as a function; the last word counts."""
    last: dict[tuple[str, int, str], State] = {}
    for line in reviews(folder):
        if line.get("says") in SAYS:
            last[str(line.get("key")), int(line.get("number", 0)), str(line.get("look"))] = SAYS[line["says"]]

    def state(picture: Picture) -> State:
        return "blocked" if picture.reason else last.get((picture.key, picture.number, picture.look), "unseen")

    return state


def say(folder: Path, picture: Picture, says: str, *, reviewer: str, note: str = "") -> None:
    """Write into the log who says what of a picture; `note` alone changes nothing. Raises UserError."""
    if says not in (*SAYS, "note"):
        raise UserError(f"{says!r} is nothing that can be said of a picture; {', '.join(SAYS)} or note")
    if picture.reason:
        raise UserError(f"{picture.prompt!r} is blocked ({picture.reason}); nobody can approve it")
    who = {"reviewer": reviewer, "says": says, "note": note[:NOTE_CHARS]}
    note_review(folder, key=picture.key, number=picture.number, look=picture.look, prompt=picture.prompt, **who)


def groups(pictures: Sequence[Picture]) -> list[list[int]]:
    """Return rows of pictures that look alike to the eye, by PDQ, in groups; in the order of their first."""
    if not pictures:
        return []
    hashes = np.frombuffer(b"".join(picture.pdq for picture in pictures), np.uint64).reshape(len(pictures), 4)
    group = np.arange(len(pictures))
    for row in range(len(pictures)):
        near = np.flatnonzero(np.bitwise_count(hashes[row + 1 :] ^ hashes[row]).sum(1) <= PDQ_DISTANCE) + row + 1
        group = join(group, np.full(len(near), row), near)
    return [np.flatnonzero(group == name).tolist() for name in dict.fromkeys(group.tolist())]
