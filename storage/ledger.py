"""ledger.jsonl: what happened and when, appended, and rewritten by a takedown alone. Timings live here, not in files
that are compared.

    {"event": "step", "step": "download", "seconds": 28.6, ...}                     of a pipeline's run
    {"event": "step", "step": 120, "seen": 7680, "loss": 0.0312, "lr": 1e-4, ...}   of a training

Events of a training: start, restart, init, changed, step, bad_step, bad_image, validation, grid, checkpoint, not_saved,
rewind, straggler, stopped, done.

A restart at step 100 makes void what was said of later steps, and what an earlier start said of its own terms at that
step, as it says its own; a rewind to step 100 makes void what was said of later steps. `read_training` leaves that out.

    {"event": "changed", "step": 100, "seen": 6400, "changes": {"optim.lr": [0.001, 0.0005]}}     was, and is
    {"event": "rewind", "step": 100, "seen": 6400, "left_out": [6720, 7360]}                      positions, [from, to)
"""

import errno
import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .atomic import commit_bytes

LEDGER = "ledger.jsonl"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TERMS = ("init", "changed")  # said by each start of its own


def note(run: Path, **what: Any) -> None:
    """Append one line in one write, so that lines of several processes do not mix."""
    descriptor = os.open(run / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, _line({"time": round(time.time(), 3), **what}))
    finally:
        os.close(descriptor)


class Ledger:
    """The ledger of a training, open for appending on the main rank. Lines are durable from each `sync` on.

    Lines that a full disk has no room for wait, and are written with the next ones.
    """

    def __init__(self, run: Path) -> None:
        path = run / LEDGER
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        self._waiting = bytearray()
        size = path.stat().st_size
        self.is_empty = not size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._waiting += b"\n"  # a kill tore the last line; ours must not be glued to it

    def note(self, event: str, *, step: int, **what: Any) -> dict[str, Any]:
        """Append one line and return it."""
        line = {"event": event, "step": step, "time": round(time.time(), 3), **what}
        self._waiting += _line(line)
        self._write()
        return line

    def sync(self) -> None:
        """Make all lines durable, as far as there is room for them."""
        self._write()
        with suppress(OSError):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        self._write()
        os.close(self._descriptor)

    def _write(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._descriptor, self._waiting)]
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise


def read(run: Path) -> list[dict[str, Any]]:
    """Return all lines; a line torn by a kill is passed over."""
    try:
        lines = (run / LEDGER).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    whole = []
    for line in lines:
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return whole


def rewrite(run: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Commit the ledger with every line as `change` gives it back. Only where nobody else can append."""
    commit_bytes(run / LEDGER, b"".join(_line(change(line)) for line in read(run)))


def read_training(run: Path) -> list[dict[str, Any]]:
    """Return what happened in a training and still holds, in order."""
    lines: list[dict[str, Any]] = []
    for line in read(run):
        if line.get("event") == "restart":
            lines = [earlier for earlier in lines if _holds(earlier, line["step"])]
        if line.get("event") == "rewind":
            lines = [earlier for earlier in lines if earlier["step"] <= line["step"]]
        lines.append(line)
    return lines


class Goodput(NamedTuple):
    """How much of the time that a training had was spent on steps that count."""

    useful_s: float  # in steps that still hold, waiting for data included
    paid_s: float  # from each start of the command to its last line
    restarts: int

    @property
    def share(self) -> float:
        """Return the useful share, 0 to 1."""
        return min(1.0, self.useful_s / self.paid_s) if self.paid_s else 0.0


def goodput(run: Path) -> Goodput:
    """Return the goodput of a training, from its ledger."""
    paid_s, began, ended = 0.0, None, 0.0
    restarts = 0
    for line in read(run):
        if line.get("event") in ("start", "restart"):
            paid_s += ended - began if began is not None else 0.0
            began = line["time"] - line.get("setup_s", 0.0)
            restarts += line["event"] == "restart"
        ended = line["time"]
    paid_s += ended - began if began is not None else 0.0
    steps = [line for line in read_training(run) if line.get("event") == "step"]
    useful_s = math.fsum(line.get("data_s", 0.0) + line.get("compute_s", 0.0) for line in steps)
    return Goodput(round(useful_s, 3), round(paid_s, 3), restarts)


def _holds(line: dict[str, Any], restart: int) -> bool:
    """Tell whether a line still holds after a restart at this step."""
    return line["step"] < restart or (line["step"] == restart and line["event"] not in TERMS)


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values) + "\n").encode()
