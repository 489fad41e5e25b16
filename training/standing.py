"""Where a training stands, in numbers: from its ledger alone, so that it can be told while ranks train elsewhere."""

import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from storage.checkpoint import committed, step_of
from storage.ledger import read, read_training
from storage.machine import counted
from storage.run import machine_of

from .config import TrainConfig

BEGINS = ("start", "restart")
LATELY, ENOUGH = 10, 3  # lines of steps in which a slow rank is one


class Standing(NamedTuple):
    """A training as its ledger has it."""

    step: int
    steps: int  # in all
    loss: float | None  # of the last steps; None: none is told yet
    images_per_s: float | None
    eta_s: float | None  # at the pace since it was started last, validations and checkpoints included
    restarts: int
    useful_s: float  # in steps that still count
    paid_s: float  # from each start to the last that it said
    saved_at: int | None  # step of the newest checkpoint that is committed
    last_event: str  # done, stopped, step, ...; empty: nothing yet
    silent_s: float  # since the last line
    cores: int  # of the machine of the first rank
    gpus: int

    @property
    def goodput(self) -> float | None:
        """Return the useful share of the paid time; None where nothing was paid yet."""
        return min(1.0, self.useful_s / self.paid_s) if self.paid_s > 0 else None


def standing_of(folder: Path, config: TrainConfig) -> Standing:
    """Return where the training in a folder stands."""
    lines, said, saved = read_training(folder), read(folder), committed(folder)
    steps = [line for line in lines if line["event"] == "step"]
    last = steps[-1] if steps else {}
    step = max((line["step"] for line in lines), default=0)
    spans = _spans(said)
    cores, gpus = counted(machine_of(folder) or "")
    return Standing(
        step=step,
        steps=config.steps,
        loss=last.get("loss"),
        images_per_s=last.get("images_per_s"),
        eta_s=_eta_s(spans[-1], config.steps) if spans else None,
        restarts=sum(line["event"] == "restart" for line in said),
        useful_s=sum(line.get("data_s", 0.0) + line.get("compute_s", 0.0) for line in steps),
        paid_s=sum(span[-1]["time"] - span[0]["time"] for span in spans),
        saved_at=step_of(saved[0]) if saved else None,
        last_event=said[-1]["event"] if said else "",
        silent_s=max(0.0, time.time() - said[-1]["time"]) if said else 0.0,
        cores=cores,
        gpus=gpus,
    )


def slow_ranks(lines: list[dict[str, Any]]) -> list[str]:
    """Return who is waited for, at what: ranks that were slow in half of the last lines of steps, or more often."""
    recent: list[dict[str, Any]] = []
    steps = 0
    for line in reversed(lines):
        steps += line["event"] == "step"
        if line["event"] in ("done", *BEGINS) or steps > LATELY:
            break
        recent.append(line)
    steps = sum(line["event"] == "step" for line in recent)
    slow = [line for line in recent if line["event"] == "straggler"]
    often = Counter((line["rank"], line["section"]) for line in slow)
    latest = {(line["rank"], line["section"]): line for line in reversed(slow)}
    return [
        f"rank {rank} on {latest[rank, section]['node']} is slow at {section}: "
        f"{latest[rank, section]['seconds']:.3g} s, the median is {latest[rank, section]['median_s']:.3g} s"
        for (rank, section), times in sorted(often.items())
        if steps >= ENOUGH and times * 2 >= steps
    ]


def _spans(lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the lines of each start."""
    spans: list[list[dict[str, Any]]] = []
    for line in lines:
        if line["event"] in BEGINS or not spans:
            spans.append([])
        spans[-1].append(line)
    return spans


def _eta_s(span: list[dict[str, Any]], steps: int) -> float | None:
    first, last = span[0], span[-1]
    done = last["step"] - first["step"]
    if done <= 0 or last["event"] in ("done", "stopped"):
        return None
    return float((steps - last["step"]) * (last["time"] - first["time"]) / done)
