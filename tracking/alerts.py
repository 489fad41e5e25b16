"""Which lines of a ledger somebody should hear of: simple thresholds over the lines before."""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Literal, NamedTuple

from .told import Line, pairs_of, share_kept

SLOW = 0.5  # of the usual rate
USUAL = 20  # lines whose median is usual; at least SEEN of them
SEEN = 5
DRIFT = 0.1  # of the share that a step lets through, from the usual one
MANY = 100  # pairs, from which on a share tells something
LOUD: dict[str, str] = {  # events that are alerts by themselves
    "bad_step": "a number was not finite",
    "rewind": "went back to a checkpoint",
    "disk": "the disk is full, or refuses to be written",
    "straggler": "a rank is slow",
    "hung": "a rank is silent",
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
    was_slow, before = False, ""
    for number, line in enumerate(lines):
        event, where = line["event"], f"{name}, step {line.get('step', 0)}"
        if event in LOUD and event != before:
            text = line.get("text") or line.get("error") or LOUD[event]
            yield number, Alert(f"{name}: {LOUD[event]}"[:63], f"{where}: {text}", "ERROR")
        if "images_per_s" in line:
            is_slow = len(rates) >= SEEN and line["images_per_s"] < SLOW * median(rates)
            if is_slow and not was_slow:
                text = f"{where}: {line['images_per_s']:.3g} images/s, usually {median(rates):.3g}"
                yield number, Alert(f"{name}: slower than it was", text, "WARN")
            if not is_slow:
                rates.append(line["images_per_s"])
            was_slow = is_slow
        share = share_kept(line) if pairs_of(line) >= MANY else None
        if share is not None:
            if shares and abs(share - median(shares)) > DRIFT:
                text = f"{name}: {share:.1%} of {pairs_of(line):,} pairs kept, {median(shares):.1%} before"
                yield number, Alert(f"{name}: keeps another share", text, "WARN")
            shares.append(share)
        before = event if event in LOUD else "" if event == "step" else before
