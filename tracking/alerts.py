"""Which lines of a ledger somebody should hear of: simple thresholds over the lines before."""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Literal, NamedTuple

from configs.redacted import redacted

from .told import ABOUT, Line, pairs_of, share_kept

SLOW = 0.5  # of the usual rate
USUAL = 20  # lines whose median is usual; at least SEEN of them
SEEN = 5
DRIFT = 0.1  # of the share that a step lets through, from the usual one
TITLE, TEXT = 63, 300  # characters at most
MANY = 100  # pairs, from which on a share tells something
LOUD = {  # events that are alerts by themselves; heard again once so many lines had none: USUAL
    "bad_step": "a number was not finite",
    "rewind": "went back to a checkpoint",
    "not_saved": "could not be saved",
    "straggler": "a rank is slow",
}


class Alert(NamedTuple):
    """What is sent."""

    title: str
    text: str
    level: Literal["WARN", "ERROR"]


def alerts(name: str, lines: Iterable[Line]) -> Iterator[tuple[int, Alert]]:
    """Yield (number of the line, alert). name: of the step or stage.

    What lasts is told once: a rate that stays low, a run of bad steps.
    """
    rates, shares = deque[float](maxlen=USUAL), deque[float](maxlen=USUAL)
    was_slow, last = False, dict[str, int]()
    for number, line in enumerate(lines):
        event, where = line["event"], f"{name}, step {line.get('step', 0)}"
        if event in LOUD:
            if number - last.get(event, -USUAL) >= USUAL:
                yield (
                    number,
                    Alert(f"{name}: {LOUD[event]}"[:TITLE], f"{where}: {_words(line) or LOUD[event]}", "ERROR"),
                )
            last[event] = number
        if "images_per_s" in line:
            is_slow = len(rates) >= SEEN and line["images_per_s"] < SLOW * median(rates)
            if is_slow and not was_slow:
                text = f"{where}: {line['images_per_s']:.3g} images/s, usually {median(rates):.3g}"
                yield number, Alert(f"{name}: slower than it was"[:TITLE], text, "WARN")
            if not is_slow:
                rates.append(line["images_per_s"])
            was_slow = is_slow
        share = share_kept(line) if pairs_of(line) >= MANY else None
        if share is not None:
            if shares and abs(share - median(shares)) > DRIFT:
                text = f"{name}: {share:.1%} of {pairs_of(line):,} pairs kept, {median(shares):.1%} before"
                yield number, Alert(f"{name}: keeps another share"[:TITLE], text, "WARN")
            shares.append(share)


def _words(line: Line) -> str:
    """Return what a line says beside where it stands, but for long lists."""
    told = {key: value for key, value in line.items() if key not in ABOUT or key == "rank"}
    words = [f"{key} {value}" for key, value in told.items() if not isinstance(value, list) or len(value) <= 2]
    return redacted(", ".join(words))[:TEXT]
