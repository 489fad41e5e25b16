"""report/index.html: one file that opens offline and tells what a run came to.

    the funnel     every loss with its reason and examples
    images         what each stage generated, beside the real ones
    training       loss by noise level over time, and whether the text is used
    figures, time  with their bars; seconds and rates of every command

The page grows with what is in the run folder; the funnel alone is enough. It carries images, style and script within
itself. Its content policy lets only that one script run and loads nothing, whatever a caption says.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.funnel import write_funnel
from storage.atomic import commit_text
from storage.samples import read_figures

from . import samples
from .funnel import LostPairs, gallery, levels_of
from .render import render
from .sensitive import SensitivePairs
from .timings import spent_on
from .training import gap_by_level, stages_of

PAGE = Path("report/index.html")


def write_report(config: PipelineConfig) -> Path:
    """Write report/funnel.json and report/index.html of the run; return where the page is."""
    commit_text(config.run / PAGE, page(config, write_funnel(config)))
    return config.run / PAGE


def page(config: PipelineConfig, funnel: Mapping[str, Any]) -> str:
    """Return the whole page. funnel: what pipeline.funnel counts."""
    run, sensitive = config.run, SensitivePairs(config.select.rules)
    levels, stages = levels_of(funnel), stages_of(run)
    spent = spent_on(run, levels, stages)
    kept, licences = gallery(run, sensitive)
    sections = {
        "images": samples.section(run, sensitive),
        "funnel": {
            "reasons": LostPairs(config, funnel, sensitive).reasons(),
            "opt_outs": funnel["opt_outs"],
            "swapped": funnel["swapped"],
            "gallery": kept,
        },
        "training": stages,
        "figures": figures_of(run),
        "time": spent if sum(part.seconds for part in spent) else None,
    }
    shown = [name for name, section in sections.items() if section]
    return render("page.html.j2", run=run, levels=levels, licences=licences, sections=shown, **sections)


def figures_of(run: Path) -> dict[str, Any] | None:
    """Return the figures that were measured, with their bars where they have some; None before."""
    content = read_figures(run)
    figures: dict[str, dict[str, Any]] = content.get("figures") or {}
    if not figures:
        return None
    barred = {name: figure for name, figure in figures.items() if figure.get("bar") is not None}
    verdicts = [figure["holds"] for figure in figures.values() if figure.get("holds") is not None]
    gaps = content.get("gap") or {}
    return {
        "figures": barred | figures,  # those with a bar first
        "has_bars": bool(barred),
        "held": sum(verdicts),
        "judged": len(verdicts),
        "gap": gap_by_level(gaps, when=", after training") if gaps else None,
    }
