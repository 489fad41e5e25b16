"""Errors that are for people: shown as one line, without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something a person can mend. Says what is wrong, the value, and what to do.

    `exit_code` is what the command leaves with: 2 for wrong use or config, 1 for a failure of the world (full disk).
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the nearest known word, else the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
