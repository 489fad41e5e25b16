"""Errors that are for people: shown as one line, without a traceback."""

import difflib
import errno
import sys
from collections.abc import Callable, Iterable

# What a full or closed disk raises: no mistake of the code, and every further file fails alike.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)  # a file where a folder should be, or the other way round


class UserError(ValueError):
    """Something a person can mend. Says what is wrong, the value, and what to do; each further mistake likewise.

    `exit_code` is what the command leaves with: 2 for wrong use or config, 1 for a failure of the world (full disk).
    """

    def __init__(self, message: str, *further: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.lines, self.exit_code = (message, *further), exit_code


def refuse(problems: Iterable[UserError]) -> None:
    """Raise one UserError that tells of all problems, where there are any. It ends as the first of them would."""
    if told := list(problems):
        lines = [line for problem in told for line in problem.lines]
        raise UserError(*dict.fromkeys(lines), exit_code=told[0].exit_code)


def printable(text: str) -> str:
    """Return text in which nothing moves a cursor, ends a line or turns words around: such characters are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str, limit: int) -> str:
    """Return text of at most `limit` characters, with an ellipsis where some are left out."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' with the nearest known word, else the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def exit_code_of(command: Callable[[], int | None]) -> int:
    """Run a command and return its exit code. What a person can mend is told on stderr, a line each."""
    try:
        return command() or 0
    except UserError as error:
        lines, exit_code = error.lines, error.exit_code
    except OSError as error:
        if error.errno not in (*DISK_ERRORS, *IN_THE_WAY):
            raise
        remedy = "mend that and run the same command again; nothing finished is lost"
        lines, exit_code = (f"{error.strerror}: {error.filename or 'while writing'}; {remedy}",), 1
    except KeyboardInterrupt:
        lines, exit_code = ("stopped; the same command goes on from here",), 130
    for line in lines:
        print(f"corgi: {printable(line)}", file=sys.stderr)
    return exit_code
