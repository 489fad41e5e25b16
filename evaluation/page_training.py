"""How the stages learned, from their own ledgers: loss by noise level over time, and whether the text is used."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from training import ledger
from training.runfolder import read_config

from .html import Html, element, join
from .page_chart import Line, chart

TRAIN = "train"  # folder of the stages' runs
SPLITS = {"train": "training names", "held_out": "held-out names"}
Trained = Mapping[str, Sequence[Mapping[str, Any]]]


def read(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Stage -> the lines of its ledger that hold, small pictures first."""
    lines = {folder: ledger.read(folder) for folder in (run / TRAIN).glob("*") if folder.is_dir()}
    begun = sorted((_image_px(folder), folder.name, folder) for folder, found in lines.items() if found)
    return {name: lines[folder] for _, name, folder in begun}


def _image_px(folder: Path) -> int:
    config = read_config(folder)
    return config.stage.image_px if config else 0


def times(trained: Trained) -> dict[str, tuple[float, int]]:
    """Stage -> (seconds, pictures seen in them). The time between a stop and its restart does not count."""
    return {stage: _time(lines) for stage, lines in trained.items()}


def _time(lines: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    pairs = [(a, b) for a, b in pairwise(lines) if b["event"] != "restart"]
    seconds = sum(later["time"] - earlier["time"] for earlier, later in pairs)
    seen = sum(max(later.get("seen", 0) - earlier.get("seen", later.get("seen", 0)), 0) for earlier, later in pairs)
    return seconds, seen


def section(trained: Trained) -> Html | None:
    """None before any training."""
    if not trained:
        return None
    return element(
        "section",
        element("h2", "Training"),
        element("p", LEAD),
        [_stage(stage, lines) for stage, lines in trained.items()],
        id="training",
    )


LEAD = (
    "Every stage is looked at on fixed pictures with fixed noise, from hardly any noise (high log-SNR) to hardly "
    "anything else. The gap says how much lower the loss is with the right caption than with another picture's: 0 "
    "where the text is not used; over time its mean over the middle half of the levels is drawn."
)


def _stage(stage: str, lines: Sequence[Mapping[str, Any]]) -> Html:
    looks = [line for line in lines if line["event"] == "validation"]
    done = any(line["event"] == "done" for line in lines)
    seen = max((line.get("seen", 0) for line in lines), default=0)
    steps = max(line["step"] for line in lines)
    said = f"{seen:,} pictures seen in {steps:,} steps" + ("" if done else ", not done yet")
    looks = [look for look in looks if {*SPLITS} & {*look}]
    charts = [_loss(looks), _gap_over_time(looks), _gap(looks)] if looks else []
    shown = element("div", charts, class_="charts") if looks else element("p", "Not looked at yet.", class_="quiet")
    return join(element("h3", stage, " ", element("small", said)), shown)


def _loss(looks: Sequence[Mapping[str, Any]]) -> Html:
    """One line a noise level; of the held-out pictures, where pairs are held out."""
    split = "held_out" if "held_out" in looks[-1] else "train"
    lines = [
        Line(
            f"{level:+.1f}", [(look["seen"], look[split]["loss"][place]) for look in looks if split in look], place % 8
        )
        for place, level in enumerate(looks[-1]["log_snr"])
    ]
    title = f"Loss by noise level, {SPLITS[split]}"
    return chart(lines, title=title, x="pictures seen; lines are named by log-SNR", y="loss", scale="log")


def _gap_over_time(looks: Sequence[Mapping[str, Any]]) -> Html:
    lines = [
        Line(said.split()[0], [(look["seen"], middle(look[split]["gap"])) for look in looks if split in look], color)
        for color, (split, said) in zip((0, 5), SPLITS.items(), strict=True)
    ]
    title = "Shuffled-caption gap over time"
    return chart(lines, title=title, x="pictures seen", y="gap")


def _gap(looks: Sequence[Mapping[str, Any]]) -> Html:
    """By noise level, at the last look."""
    last = looks[-1]
    lines = [
        Line(said.split()[0], sorted(zip(last["log_snr"], last[split]["gap"], strict=True)), color)
        for color, (split, said) in zip((0, 5), SPLITS.items(), strict=True)
        if split in last
    ]
    return chart(lines, title="Shuffled-caption gap by noise level", x="log-SNR", y="gap")


def middle(values: Sequence[float]) -> float:
    """Mean of the middle half of the noise levels: 3 to 6 of 8."""
    quarter = len(values) // 4
    chosen = values[quarter : len(values) - quarter]
    return sum(chosen) / len(chosen)
