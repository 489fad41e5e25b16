"""report/index.html: one file that opens offline and tells what a run came to.

    the funnel     every loss with its reason and examples
    pictures       what each stage drew, beside the real ones
    training       loss by noise level over time, and whether the text is used
    figures, time  with their bars; seconds and rates of every command

The page grows with what is in the run folder; the funnel alone is enough. It carries pictures, style and script within
itself. Its content policy lets only that one script run and loads nothing, whatever a caption says.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.files import commit_bytes
from pipeline.funnel import write_funnel

from . import page_figures, page_funnel, page_pictures, page_training
from .html import Html, element, join, trusted
from .page_examples import Examples
from .page_kept import Kept, look
from .page_veil import Veil

PAGE = Path("report/index.html")
HERE = Path(__file__).parent


def write_report(config: PipelineConfig) -> Path:
    """Writes report/funnel.json and report/index.html of the run, and tells where the page is."""
    found = write_funnel(config)
    commit_bytes(config.run / PAGE, page(config, found).encode())
    return config.run / PAGE


def page(config: PipelineConfig, funnel: Mapping[str, Any]) -> str:
    """The whole page. funnel: as pipeline.funnel tells it."""
    run, veil = config.run, Veil(config.select.rules)
    captions = [pair["caption"] for pairs in funnel["examples"].values() for pair in pairs]
    examples = Examples(run, config.select.rules, veil, veil.hateful(captions))
    kept, trained = look(run, veil), page_training.read(run)
    levels = page_funnel.levels(funnel)
    spent = page_figures.spent_on(run, levels, page_training.times(trained))
    sections = {
        "pictures": page_pictures.section(run, veil),
        "funnel": page_funnel.section(funnel, examples, kept.gallery),
        "training": page_training.section(trained),
        "figures": page_figures.section(run),
        "time": page_figures.timings(spent),
    }
    shown = {name: section for name, section in sections.items() if section}
    head = _head(run, list(shown), glance(levels, run, trained, sum(one.seconds for one in spent)))
    return _document(f"Corgi: {run.name}", join(head, element("main", list(shown.values())), _foot(run, kept)))


def glance(levels: Mapping[str, int], run: Path, trained: Mapping[str, Any], seconds: float) -> dict[str, str]:
    """The numbers at the top."""
    said = {"rows in the table": f"{levels['rows']:,}", "pairs kept": f"{levels['kept']:,}"}
    if trained:
        said["stages trained"] = f"{len(trained)}"
    held, missed = page_figures.verdicts(run)
    if held + missed:
        said["bars that hold"] = f"{held} of {held + missed}"
    if seconds:
        said["minutes in all"] = f"{seconds / 60:.1f}"
    return said


def _head(run: Path, names: list[str], numbers: Mapping[str, str]) -> Html:
    links = [element("a", name.capitalize(), href=f"#{name}") for name in names]
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in numbers.items()]
    return element(
        "header",
        trusted((HERE / "corgi.svg").read_text(encoding="utf-8")),
        element("h1", run.name),
        element("dl", pairs, class_="numbers-at-a-glance"),
        element("nav", links, aria_label="parts of this page"),
    )


def _foot(run: Path, kept: Kept) -> Html:
    licences = f"Licences that the table names for its pictures: {', '.join(kept.licences)}." if kept.licences else None
    written = ("Written by ", element("code", "corgi report"), f" from {run}. This page loads nothing from anywhere.")
    return element("footer", element("p", *written), element("p", licences) if licences else None)


def _document(title: str, body: Html) -> str:
    """The page around its body, with a policy that allows this very script and nothing else."""
    script = (HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy + "base-uri 'none'; form-action 'none'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", trusted((HERE / "report.css").read_text(encoding="utf-8"))),
    )
    return "<!doctype html>\n" + element(
        "html", head, element("body", body, element("script", trusted(script))), lang="en"
    )
