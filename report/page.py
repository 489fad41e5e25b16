"""report/index.html: one file that opens offline and tells what a run came to.

    about          when, by which code and config, on which machine; how large the models are
    images         what the stages drew, beside the nearest training pictures and the real ones
    training       what each stage drew over time, loss by noise level, and whether the text is used
    funnel         every loss with its reason and examples
    scores         histograms of the scorers' columns, with the thresholds of the rules
    figures, time  with their bars; seconds and rates of every command

The page grows with what is in the run folder; a plan, or a training that stands alone, is enough. It carries
thumbnails, style and script within itself and stays under 2 MB; whole pictures lie in report/images. Its content
policy lets only that one script run and loads nothing, whatever a caption says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.funnel import write_funnel
from pipeline.status import load_config
from storage.atomic import commit_text
from storage.demo import SITE
from storage.run import TRAINING
from storage.samples import read_figures

from . import samples
from .about import about
from .album import Album
from .funnel import LostPairs, gallery, levels_of
from .render import render
from .scores import histograms
from .sensitive import SensitivePairs
from .timings import spent_on
from .training import gap_by_level, stages_of

PAGE = Path("report/index.html")


def report(path: Path, overrides: Sequence[str] = ()) -> Path:
    """Write the page of a run; return where it is. path: the pipeline's YAML, or the folder of any run."""
    return write_training_report(path) if (path / TRAINING).exists() else write_report(load_config(path, overrides))


def write_report(config: PipelineConfig) -> Path:
    """Write report/funnel.json and report/index.html of a pipeline's run; return where the page is."""
    return _write(config.run, config, write_funnel(config))


def write_training_report(run: Path) -> Path:
    """Write report/index.html of a training that stands alone; return where the page is."""
    return _write(run, None, None)


def _write(run: Path, config: PipelineConfig | None, funnel: Mapping[str, Any] | None) -> Path:
    """Write the whole page. funnel: what pipeline.funnel counts, of a pipeline's run."""
    path = run / PAGE
    album = Album(path.parent)
    sensitive = SensitivePairs(config.select.rules if config else {})
    levels = levels_of(funnel) if funnel else {}
    stages = stages_of(run, path.parent, sensitive, album)
    spent = spent_on(run, levels, stages) if config else []
    kept, licences = gallery(run, sensitive, album) if config else ([], [])
    sections = {
        "images": samples.section(run, sensitive, album),
        "training": stages,
        "funnel": {
            "reasons": LostPairs(config, funnel, sensitive, album).reasons(),
            "opt_outs": funnel["opt_outs"],
            "swapped": funnel["swapped"],
            "gallery": kept,
        }
        if config and funnel
        else None,
        "scores": histograms(config) if config else None,
        "figures": figures_of(run),
        "time": spent if sum(part.seconds for part in spent) else None,
    }
    shown = [name for name, section in sections.items() if section]
    demo = f"../{SITE}/index.html" if (run / SITE / "index.html").exists() else None
    known = {"demo": demo, "run": run, "levels": levels, "licences": licences, "about": about(run, path.parent)}
    text = render("page.html.j2", sections=shown, **known, **sections)
    album.commit()
    commit_text(path, text)
    return path


def figures_of(run: Path) -> dict[str, Any] | None:
    """Return the figures that were measured, with their bars where they have some; None before."""
    content = read_figures(run)
    figures: dict[str, dict[str, Any]] = content.get("figures") or {}
    if not figures:
        return None
    barred = {name: figure for name, figure in figures.items() if figure.get("bar") is not None}
    verdicts = [figure["holds"] for figure in figures.values() if figure.get("holds") is not None]
    gaps = content.get("gap") or {}
    is_short = bool(((content.get("config") or {}).get("bars") or {}).get("of_longer_run"))
    return {
        "figures": barred | figures,  # those with a bar first
        "has_bars": bool(barred),
        "held": sum(verdicts),
        "judged": len(verdicts),
        "of_longer_run": is_short,  # a bar that is missed is no failure
        "gap": gap_by_level(gaps, when=", after training") if gaps else None,
    }
