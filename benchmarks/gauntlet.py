"""Downloaders against a web that means harm: is anything stored that must not be, and does anything healthy go missing?

A case is a row of a url table and what is served for it, on loopback: see benchmarks/hostile. The cases of a category
run as one shard, with healthy pairs among them that must all arrive. What counts is what was stored: bytes that should
not be there, healthy ones that are missing, metadata in what is kept. Of Corgi's guarded engine the reason must be
right, too, and nothing may have asked the private service behind the web.

img2dataset is the library, asked for all that it can do, with the web as its proxy. So the proxy asks the name server
in its place, and those cases are no cases for it; a private address is one whose picture the proxy fetches for it. A
shard from which it does not come back within 90 s is lost with all its pairs.

No timing is measured. Another downloader is a function beside those in benchmarks/hostile/downloaders.py.
"""

import argparse
import base64
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.hostile import answers, further, pictures, urls, wishes
from benchmarks.hostile.case import OK, Case, healthy, picture
from benchmarks.hostile.downloaders import Downloader, Kept, guarded, img2dataset
from benchmarks.hostile.server import HostileWeb, serve

HEALTHY = 12  # pairs beside the cases of each category
QUICK = 6  # cases of each category in a smoke run
DOWNLOADERS: dict[str, Downloader] = {"guarded": guarded, "img2dataset": img2dataset}
FORMATS = {further.CATEGORY: further.FORMATS}  # of other categories: the usual ones
USUAL = ("jpeg", "png", "webp")
NOT_FOR = {"img2dataset": ("S4 name servers",)}


class Score(NamedTuple):
    """One downloader in one category."""

    passed: int
    cases: int
    arrived: int
    healthy: int
    faults: list[str]


def all_cases() -> list[Case]:
    """Return every case, healthy pairs left out."""
    return [*urls.cases(), *answers.cases(), *pictures.cases(), *further.cases(), *wishes.cases()]


def by_category(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Return the cases by category, in their order."""
    sorted_cases: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        sorted_cases[case.category].append(case)
    return dict(sorted_cases)


def run(downloader: Downloader, cases: Sequence[Case], *, canary: Path) -> Score:
    """Run one shard of these cases with healthy pairs among them. canary: a picture on this machine's disk."""
    beside = healthy(cases[0].category, HEALTHY)
    rows = mixed(cases, beside)
    pages = {where: script for case in rows for where, script in case.pages.items()}
    with serve(pages, canary=canary) as web:
        planned = [planned_pair(number, case, web) for number, case in enumerate(rows)]
        names = {host: told for case in rows for host, told in case.names.items()}
        kept = downloader(planned, web, names, FORMATS.get(cases[0].category, USUAL))
    faults = {case: judge(case, what) for case, what in zip(rows, kept, strict=True)}
    lines = [f"{case.category}: {case.name}: {fault}" for case, fault in faults.items() if fault]
    if web.asked_inside:
        lines.append(f"{cases[0].category}: {web.asked_inside} requests reached the private service")
    passed, arrived = (sum(not faults[case] for case in group) for group in (cases, beside))
    return Score(passed, len(cases), arrived, len(beside), lines)


def mixed(cases: Sequence[Case], beside: Sequence[Case]) -> list[Case]:
    """Return all of them, the healthy ones spread among the cases."""
    step = len(cases) / len(beside)
    places = [(number + 0.5, case) for number, case in enumerate(cases)]
    places += [(number * step, case) for number, case in enumerate(beside)]
    return [case for _, case in sorted(places, key=lambda place: place[0])]


def planned_pair(number: int, case: Case, web: HostileWeb) -> dict[str, Any]:
    """Return the row of a case as `plan` writes it."""
    url = web.fill_in(case.url)
    if "{base64}" in url:
        url = url.replace("{base64}", base64.b64encode(web.canary.read_bytes()).decode())
    pair = {"key": f"{number:024x}", "url": url, "caption": case.name}
    return pair if case.sha256 is None else {**pair, "sha256": case.sha256}


def judge(case: Case, kept: Kept) -> str | None:
    """Return what is wrong with what became of a case, None where all is right."""
    if kept.data is not None and "ok" not in case.expected:
        return "stored, though it must not be"
    if kept.data is None and case.expected == OK:
        return f"not stored, though it should be ({kept.reason})"
    if kept.reason is not None and kept.reason not in case.expected:
        return f"{kept.reason}, not {' or '.join(case.expected)}"
    return None if kept.data is None else _fault_of(case, kept.data)


def _fault_of(case: Case, data: bytes) -> str | None:
    """Return what is wrong with the bytes that are stored."""
    from PIL import Image

    if left := next((mark for mark in case.absent if mark in data), None):
        return f"{left!r} is in what is stored"
    image = Image.open(BytesIO(data))
    image.load()
    if case.size is not None and image.size != case.size:
        return f"stored as {image.size}, not {case.size}"
    return None


def scoreboard(scores: dict[str, dict[str, Score]]) -> str:
    """Return a table in Markdown: of each downloader the cases passed and the healthy pairs that arrived."""
    lines = [f"| category | {' | '.join(scores)} |", f"|---|{'---|' * len(scores)}"]
    for category in next(iter(scores.values())):
        cells = [_cell(of_each.get(category)) for of_each in scores.values()]
        lines.append(f"| {category} | {' | '.join(cells)} |")
    cells = [_cell(total(of_each)) for of_each in scores.values()]
    return "\n".join([*lines, f"| all | {' | '.join(cells)} |"])


def total(scores: dict[str, Score]) -> Score:
    """Return the sum over all categories."""
    return Score(
        sum(score.passed for score in scores.values()),
        sum(score.cases for score in scores.values()),
        sum(score.arrived for score in scores.values()),
        sum(score.healthy for score in scores.values()),
        [line for score in scores.values() for line in score.faults],
    )


def _cell(score: Score | None) -> str:
    if score is None:
        return "no case"
    return f"{score.passed} of {score.cases}, {score.arrived} of {score.healthy}"


def options() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"a smoke run: {QUICK} cases of each category")
    parser.add_argument("--downloader", action="append", choices=DOWNLOADERS, help="this one only; may be said again")
    parser.add_argument("--category", default="", help="only categories that begin so: S3, S11")
    return parser.parse_args()


def main() -> int:
    """Run the benchmark."""
    given = options()
    categories = by_category(case for case in all_cases() if case.category.startswith(given.category))
    if given.quick:
        categories = {name: cases[:: -(-len(cases) // QUICK)] for name, cases in categories.items()}
    scores: dict[str, dict[str, Score]] = {}
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "private.jpg"
        canary.write_bytes(picture(998))
        for name in given.downloader or DOWNLOADERS:
            scores[name] = {}
            for category, cases in categories.items():
                if category not in NOT_FOR.get(name, ()):
                    scores[name][category] = run(DOWNLOADERS[name], cases, canary=canary)
                    print(f"{name:12} {category:32} {_cell(scores[name][category])}", flush=True)
    totals = {name: total(of_each) for name, of_each in scores.items()}
    for name, score in totals.items():
        print(f"\n{name}:", *score.faults, sep="\n  ")
    print(f"\ncases passed, healthy pairs arrived\n\n{scoreboard(scores)}")
    figures = {f"{name}.{category}": score[:4] for name, of in scores.items() for category, score in of.items()}
    bars = {}
    if "guarded" in totals:
        mine = totals["guarded"]
        bars = {"cases": [mine.passed, mine.cases, mine.passed == mine.cases]}
        bars["healthy"] = [mine.arrived, mine.healthy, mine.arrived == mine.healthy]
        bars["faults"] = [len(mine.faults), 0, not mine.faults]
    print(
        json.dumps({"bench": "gauntlet", "figures": figures, "bars": bars, "holds": all(b[2] for b in bars.values())})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
