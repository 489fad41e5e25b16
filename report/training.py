"""How the stages learned, from their own ledgers: loss by noise level over time, and the caption gap."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from storage.ledger import read_training
from storage.run import trainings_of
from training.run_folder import read_config

from .album import Album
from .chart import Chart, Line, chart
from .grids import Over, over_time
from .sensitive import SensitivePairs

SPLITS = {"train": ("trained on", 0), "training": ("trained on", 0), "held_out": ("held out", 5)}  # words, colour

Events = Sequence[Mapping[str, Any]]


class Stage(NamedTuple):
    """One training."""

    name: str
    steps: int
    seen: int  # images
    is_done: bool
    seconds: float  # without the time between a stop and its restart
    seen_meanwhile: int  # images in these seconds
    charts: list[Chart]  # what is measured: none before the first line of the ledger
    grids: Over | None  # what it drew over time
    changes: list[str]  # "step 100: optim.lr 0.001 -> 0.0005"


def stages_of(run: Path, page: Path, sensitive: SensitivePairs, album: Album) -> list[Stage]:
    """Return the stages whose training has begun, small images first. page: the folder of the page."""
    folders = sorted(trainings_of(run), key=lambda folder: (_image_px(folder), folder.name))
    return [
        _stage(_name(folder), events, over_time(folder, page, sensitive, album))
        for folder in folders
        if (events := read_training(folder))
    ]


def _name(folder: Path) -> str:
    config = read_config(folder)
    return config.stage.name if config else folder.name


def _image_px(folder: Path) -> int:
    config = read_config(folder)
    return config.stage.image_px if config else 0


def _stage(name: str, events: Events, grids: Over | None) -> Stage:
    pairs = [(earlier, later) for earlier, later in pairwise(events) if later["event"] not in ("restart", "rewind")]
    seen = [(earlier["seen"], later["seen"]) for earlier, later in pairs if "seen" in earlier and "seen" in later]
    looks = [event for event in events if event["event"] == "validation" and {*SPLITS} & {*event}]
    return Stage(
        name,
        steps=max(event["step"] for event in events),
        seen=max(event.get("seen", 0) for event in events),
        is_done=any(event["event"] == "done" for event in events),
        seconds=sum(later["time"] - earlier["time"] for earlier, later in pairs),
        seen_meanwhile=sum(max(later - earlier, 0) for earlier, later in seen),
        charts=[
            *([_loss(looks), _gap_over_time(looks), gap_by_level(_gaps(looks[-1]))] if looks else []),
            *_rates(events),
        ],
        grids=grids,
        changes=[_changed(event) for event in events if event["event"] == "changed"],
    )


def _changed(event: Mapping[str, Any]) -> str:
    changes = (event.get("changes") or {}).items()
    return f"step {event['step']:,}: " + ", ".join(f"{key} {was} to {now}" for key, (was, now) in changes)


def _rates(events: Events) -> list[Chart]:
    """Return how many images a second it saw; none before the first line that tells it."""
    rates = [(event["seen"], event["images_per_s"]) for event in events if "images_per_s" in event and "seen" in event]
    lines = [Line("all", rates, 0)]
    return [chart(lines, title="Images a second", x="images seen", y="images a second")] if rates else []


def _loss(looks: Events) -> Chart:
    """Return a line a noise level; of the held-out pairs, where there are some."""
    split = "held_out" if "held_out" in looks[-1] else "train"
    losses = [
        (look["seen"], dict(zip(look["log_snr"], look[split]["loss"], strict=True))) for look in looks if split in look
    ]
    lines = [  # of today's levels: others were looked at before `validation.buckets` changed
        Line(f"{level:+.1f}", [(seen, loss[level]) for seen, loss in losses if level in loss], place % 8)
        for place, level in enumerate(looks[-1]["log_snr"])
    ]
    title = f"Loss by noise level, {SPLITS[split][0]}"
    return chart(lines, title=title, x="images seen; lines are named by log-SNR", y="loss", scale="log")


def _gap_over_time(looks: Events) -> Chart:
    lines = [
        Line(words, [(look["seen"], middle(look[split]["gap"])) for look in looks if split in look], color)
        for split, (words, color) in SPLITS.items()
    ]
    return chart(lines, title="Caption gap over time", x="images seen", y="caption gap")


def _gaps(look: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {split: {**look[split], "log_snr": look["log_snr"]} for split in SPLITS if split in look}


def gap_by_level(gaps: Mapping[str, Mapping[str, Any]], *, when: str = "") -> Chart:
    """Return a line a split. gaps: split -> log_snr and gap, lists of equal length; when: for the title."""
    lines = [
        Line(words, sorted(zip(gaps[split]["log_snr"], gaps[split]["gap"], strict=True)), color)
        for split, (words, color) in SPLITS.items()
        if split in gaps
    ]
    return chart(lines, title=f"Caption gap by noise level{when}", x="log-SNR", y="caption gap")


def middle(values: Sequence[float]) -> float:
    """Return the mean of the middle half of the noise levels: 3 to 6 of 8."""
    quarter = len(values) // 4
    chosen = values[quarter : len(values) - quarter]
    return sum(chosen) / len(chosen)
