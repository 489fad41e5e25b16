"""Figures with their bars, and where the time went."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import ledger
from pipeline.files import read_json
from pipeline.steps import ORDER

from .html import Html, element, join
from .page_chart import Line, chart

FIGURES = "figures.json"
VERDICTS = {True: "holds", False: "missed", None: ""}


def figures_of(run: Path) -> dict[str, dict[str, Any]]:
    """name -> {"figure", "bar", "holds", "says"}; empty before they were made."""
    found = read_json(run / FIGURES) or {}
    figures: dict[str, dict[str, Any]] = found.get("figures", {})
    return dict(sorted(figures.items(), key=lambda item: item[1].get("bar") is None))  # those with a bar first


def verdicts(run: Path) -> tuple[int, int]:
    """How many bars hold, and how many are missed."""
    told = Counter(one.get("holds") for one in figures_of(run).values())
    return told[True], told[False]


def section(run: Path) -> Html | None:
    """None where no figure was made yet."""
    figures = figures_of(run)
    if not figures:
        return None
    held, missed = verdicts(run)
    head = element("tr", [element("th", name, scope="col") for name in ("figure", "measured", "bar", "")])
    rows = [_row(name, one) for name, one in figures.items()]
    return element(
        "section",
        element("h2", "Figures"),
        element("p", f"{held} of {held + missed} bars hold.", class_="lead"),
        element("div", element("table", element("thead", head), element("tbody", rows)), class_="wide"),
        _gap(run),
        id="figures",
    )


def _gap(run: Path) -> Html | None:
    """The shuffled-caption gap by noise level, of the sets that figures.json tells of."""
    found = (read_json(run / FIGURES) or {}).get("gap") or {}
    lines = [
        Line(split.replace("_", "-"), sorted(zip(one["log_snr"], one["gap"], strict=True)), color)
        for color, (split, one) in zip((0, 5), found.items(), strict=False)
    ]
    return chart(lines, title="Shuffled-caption gap of the base, in the end", x="log-SNR", y="gap") if lines else None


def _row(name: str, one: Mapping[str, Any]) -> Html:
    verdict = VERDICTS[one.get("holds")]
    says = element("small", one["says"]) if one.get("says") else None
    return element(
        "tr",
        element("th", name, says, scope="row"),
        element("td", figure(one.get("figure"))),
        element("td", str(one.get("bar") or "")),
        element("td", element("span", verdict, class_=f"verdict {verdict}") if verdict else None),
    )


def figure(value: Any) -> str:
    """A measured value, short."""
    return f"{value:.3g}" if isinstance(value, float) else "not measured" if value is None else f"{value:,}"


class Spent(NamedTuple):
    """The time of one command or step, all its calls added up."""

    name: str
    seconds: float
    work_seconds: float  # without the start of the command, where that is known
    handled: int | None  # pairs or pictures
    unit: str


def spent_on(run: Path, levels: Mapping[str, int], trained: Mapping[str, tuple[float, int]]) -> list[Spent]:
    """In the order in which things happen. trained: stage -> (seconds, pictures seen), from the stages' own ledgers."""
    steps, commands = Counter[str](), Counter[str]()
    for line in ledger.read(run):
        if line.get("event") == "step":
            steps[line["step"]] += line["seconds"]
        elif line.get("event") == "command":
            commands[line["command"]] += line["seconds"]
    handled = {"plan": "rows", "download": "planned", "score": "stored", "dedup": "stored", "select": "stored"}
    handled |= {"embed": "kept", "index": "kept"}
    works = {step: Spent(step, 0, steps[step], levels[handled[step]], "pairs") for step in ORDER if step in steps}
    works |= {f"train {stage}": Spent(f"train {stage}", 0, *work, "pictures") for stage, work in trained.items()}
    works |= {name: Spent(name, 0, 0, None, "") for name in commands if name not in works}
    return [one._replace(seconds=commands.get(name, one.work_seconds)) for name, one in works.items()]


def timings(spent: Sequence[Spent]) -> Html | None:
    """A bar of the shares, and a table."""
    total = sum(one.seconds for one in spent)
    if not total:
        return None
    bar = [
        element("i", style=f"width:{100 * one.seconds / total:.3f}%;--c:{_color(number, len(spent))}", title=one.name)
        for number, one in enumerate(spent)
    ]
    head = element("tr", [element("th", name, scope="col") for name in ("", "seconds", "share", "a second")])
    rows = [_spent(one, total, _color(number, len(spent))) for number, one in enumerate(spent)]
    return element(
        "section",
        element("h2", "Time"),
        element("p", _sentence(spent, total), class_="lead"),
        element("div", bar, class_="shares", aria_hidden="true"),
        element("div", element("table", element("thead", head), element("tbody", rows)), class_="wide"),
        element("p", "All calls of a command are added up; a call that was killed has left no time.", class_="quiet"),
        id="time",
    )


def _color(place: int, count: int) -> str:
    """Colours of one brightness, around the wheel from orange to pink."""
    return f"oklch(var(--bright) 0.12 {45 + 300 * place // max(count - 1, 1)})"


def _sentence(spent: Sequence[Spent], total: float) -> str:
    longest = max(spent, key=lambda one: one.seconds)
    return f"{total / 60:.1f} minutes in all; the longest part is {longest.name}, {longest.seconds / total:.0%} of it."


def _spent(one: Spent, total: float, color: str) -> Html:
    rate = f"{one.handled / one.work_seconds:,.0f} {one.unit}" if one.handled and one.work_seconds >= 0.05 else ""
    name = join(element("i", class_="key", style=f"--c:{color}", aria_hidden="true"), one.name)
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", f"{one.seconds:,.1f}"),
        element("td", f"{one.seconds / total:.1%}"),
        element("td", rate),
    )
