"""What a run tells of itself while it is under way: where it stands, its logs; and how to end its jobs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, app

Run = Annotated[Path, typer.Option("--run", help="Folder of the run.")]


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="Folder of a run; or YAML of a pipeline: what it would make anew")],
    overrides: Overrides = None,
    is_watched: Annotated[bool, typer.Option("--watch", help="Look again every few seconds, until Ctrl-C.")] = False,
    every_s: Annotated[float, typer.Option("--every", min=0.5, help="Seconds between two looks.")] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; docs/seeing.md says what it holds.")
    ] = False,
) -> None:
    """Show where every step, stage and job of a run stands. Of an edited YAML, what it would make anew, how long."""
    from configs import UserError

    if run.is_file():
        from pipeline.forecast import forecast, told
        from pipeline.status import load_config

        print(told(forecast(load_config(run, overrides or []))))
        return
    if overrides:
        raise UserError(f"{overrides[0]!r}: differences are for a YAML, and {run} is a folder")
    from project import overview_text
    from project.overview import overview

    if as_json:
        print(json.dumps(overview_text.as_json(overview(run)), indent=1))
    elif is_watched:
        overview_text.watch(lambda: overview(run), every_s=every_s, clear=sys.stdout.isatty())
    else:
        print(overview_text.told(overview(run)))


@app.command()
def logs(
    name: Annotated[str, typer.Argument(metavar="STEP", help="A step or stage: download, base64.")],
    run: Run = Path("runs/quickstart"),
    rank: Annotated[int | None, typer.Option(min=0, help="Of one task of an array only.")] = None,
    is_failed: Annotated[bool, typer.Option("--failed", help="Of tasks that failed only.")] = False,
    is_followed: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as lines come, until the jobs end.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="The last lines of each, where there are several.")
    ] = 20,
) -> None:
    """Print what the jobs of a step or stage have written. Of a run that was submitted to a cluster."""
    from slurm.logs import follow, show

    tell = follow if is_followed else show
    for line in tell(run, name, rank=rank, is_failed=is_failed, lines=lines):
        print(line, flush=is_followed)


@app.command()
def cancel(
    name: Annotated[
        str | None, typer.Argument(metavar="STEP", help="A step or stage; all of the run if not given.")
    ] = None,
    run: Run = Path("runs/quickstart"),
) -> None:
    """End the jobs of a run, or of a step and what waits for it. What they made stays; `submit` goes on with it."""
    from slurm.cancel import cancel as cancel_jobs

    for line in cancel_jobs(run, name):
        print(line)


@app.command()
def doctor(
    folder: Annotated[Path, typer.Argument(help="Where a run lies, or will.")] = Path(),
    is_job: Annotated[bool, typer.Option("--job", help="Only what takes a moment, and the nodes of this job.")] = False,
    is_one_machine: Annotated[
        bool, typer.Option("--one-machine", help="All nodes of this job are one, and need no names.")
    ] = False,
) -> None:
    """Tell whether this machine is well, and how to mend what is not. Ends with 1, a job's with 94, if it is broken."""
    from project.doctor import examine, told

    is_broken = False
    for finding in examine(folder, is_job=is_job, one_machine=is_one_machine):
        is_broken = is_broken or finding.health == "broken"
        print(told(finding), flush=True)
    if is_broken:
        raise typer.Exit(94 if is_job else 1)
