"""What rules cost, whom they remove, and what others would do: questions to a run whose scores are there."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import Json, RunFolder, app


def tell_what_if(file: Path, overrides: list[str] | None, wishes: list[str], *, is_json: bool) -> None:
    """Print what other rules would keep and lose."""
    from pipeline.decisions.what_if import what_if
    from pipeline.status import load_config
    from report.decisions import what_if_json, what_if_told

    found = what_if(load_config(file, overrides or []), wishes)
    print(_as_json(what_if_json(found)) if is_json else what_if_told(found))


@app.command()
def funnel(run: RunFolder, is_json: Json = False) -> None:
    """Count what each rule takes: alone, uniquely and in order, and which take the same pairs."""
    from pipeline.decisions.overlaps import as_json, overlaps
    from pipeline.status import config_of
    from report.decisions import funnel_told

    counted = overlaps(config_of(run))
    print(_as_json(as_json(counted)) if is_json else funnel_told(counted))


@app.command()
def sweep(
    run: RunFolder,
    column: Annotated[str, typer.Argument(help="A column of numbers, e.g. nsfw_score; see `corgi config columns`")],
    at: Annotated[
        str | None, typer.Option(help="Thresholds with commas between; else they follow from the run.")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="below or above; else as today's rule has it.")] = None,
    is_json: Json = False,
) -> None:
    """Tell how much stays over the thresholds of a column. With pairs near each of them to look at."""
    from configs import UserError
    from pipeline.decisions.sweep import sweep as over_thresholds
    from pipeline.status import config_of
    from report.decisions import sweep_json, sweep_told

    if keep not in (None, "below", "above"):
        raise UserError(f"--keep {keep!r}: give below or above")
    config = config_of(run)
    swept = over_thresholds(config, column, at=_numbers(at), side=keep)  # type: ignore[arg-type]  # checked above
    rules = config.select.rules
    print(_as_json(sweep_json(swept, rules)) if is_json else sweep_told(swept, rules, run))


@app.command()
def diff(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run")],
    run_b: Annotated[Path, typer.Argument(help="Folder of another run over the same pairs")],
    is_json: Json = False,
) -> None:
    """Compare two runs pair by pair. What another policy or version keeps and loses, with examples."""
    from pipeline.decisions.diff import diff as compare
    from pipeline.status import config_of
    from report.decisions import diff_json, diff_told

    rules = {**config_of(run_b).select.rules, **config_of(run_a).select.rules}
    found = compare(run_a, run_b)
    print(_as_json(diff_json(found, rules)) if is_json else diff_told(found, rules))


@app.command()
def browse(
    folder: Annotated[
        Path, typer.Argument(help="Folder of a run or an export; or of tars, tables of images, pictures")
    ],
    where: Annotated[str, typer.Option(help="An expression over the columns; the page can ask for others.")] = "",
    is_sample: Annotated[bool, typer.Option("--sample", help="The pairs that `audit filters` drew.")] = False,
    labels: Annotated[
        Path | None, typer.Option(help="File of labels; audit/labels.jsonl in the folder if not given.")
    ] = None,
    who: Annotated[str, typer.Option(help="Who looks; it stands beside every label.")] = "",
    port: Annotated[int, typer.Option(help="On loopback.")] = 8767,
) -> None:
    """Look at pairs on a local page. By an expression over their columns; labels by keyboard; sensitive ones veiled."""
    from report.browse.page import browse as look_through
    from report.browse.parts import source_of

    look_through(source_of(folder), where=where, is_sample=is_sample, labels=labels, who=who, port=port)


audit = typer.Typer(
    name="audit",
    help="Are the filters right, and whom do they remove?",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(audit)


@audit.callback()
def audits() -> None:
    """Are the filters right, and whom do they remove?"""


@audit.command("filters")
def audit_filters(
    run: RunFolder,
    sample: Annotated[int, typer.Option(min=0, help="Draw so many pairs of each rule to be labelled, and end.")] = 0,
    labels: Annotated[Path | None, typer.Option(help="File of labels; RUN/audit/labels.jsonl if not given.")] = None,
    against: Annotated[Path | None, typer.Option(help="Folder of another run, to tell what drifted.")] = None,
    is_json: Json = False,
) -> None:
    """Measure the rules. Precision and recall by labels, whom they remove, hate before and after; with intervals."""
    from evaluation.filter_audit.audit import audit as measure
    from evaluation.filter_audit.audit import plain, told
    from evaluation.filter_audit.sample import SAMPLE, draw
    from pipeline.status import config_of

    config = config_of(run)
    if sample:
        drawn = draw(config, of_each=sample)
        rules = len({each.rule for each in drawn})
        print(f"{run / SAMPLE}: {len(drawn)} pairs of {rules} groups; label them with corgi browse {run} --sample")
        return
    found = measure(config, labels=labels, against=config_of(against) if against else None)
    print(_as_json(plain(found)) if is_json else told(found))


def _numbers(text: str | None) -> list[float]:
    from configs import UserError

    try:
        return [float(word) for word in (text or "").split(",") if word.strip()]
    except ValueError:
        raise UserError(f"--at {text!r}: give numbers with commas between, e.g. 0.1,0.3,0.5") from None


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=True, default=str)


@app.command()
def hashes(
    folders: Annotated[list[Path], typer.Argument(help="Folders of pictures, e.g. those of an evaluation")],
    to: Annotated[Path, typer.Option(help="The list to write, for select.lists.NAME.pdq")],
) -> None:
    """List what pictures look like, turned and mirrored ones too. For `select.lists`, so that no copy is kept."""
    from pipeline.picture_hashes import write_hashes

    named, left = write_hashes(folders, to)
    print(f"{to}: {named:,} pictures" + f"; {left:,} are too flat for a hash or cannot be read" * bool(left))
