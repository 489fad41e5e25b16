"""What a run tells of itself, and the cluster that it may run on."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, Scorers, app, tell


@app.command()
def why(
    key: Annotated[str, typer.Argument(help="A pair's key or enough of its beginning; or its url, or a part of it")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
) -> None:
    """Tell one pair's whole story. From its row in the table to the steps that trained on it."""
    from configs import UserError
    from training.why import tell

    if not run.is_dir():
        raise UserError(f"{run} is no folder; say which run with --run")
    print(tell(run, key))


@app.command()
def submit(
    config: Annotated[Path, typer.Argument(help="YAML of the chain, e.g. runs/quickstart/chain.yaml")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the scripts and edges; submit nothing.")] = False,
    is_planned_here: Annotated[
        bool, typer.Option("--plan-here", help="Make the plan on this machine first: the arrays get its size.")
    ] = False,
    accepts_new_data: Annotated[
        bool, typer.Option("--accept-new-data", help="Trainings go on though the index has changed.")
    ] = False,
    scorers: Scorers = None,
) -> None:
    """Run what is left of the same chain on a SLURM cluster. Arrays for shard steps, a multi-node job a stage."""
    from configs import UserError, refuse
    from pipeline.runner import run_step
    from pipeline.status import load_config
    from project.check import problems_of
    from project.files import project_of
    from project.hours import hours_of
    from project.work import work_of
    from slurm.submit import submit as submit_chain
    from storage.atomic import commit_text

    if scorers:
        from filters.own import ask_for

        ask_for(scorers)
    project = project_of(config, overrides or [])
    refuse(problems_of(project, overrides or [], on_cluster=True))
    if is_planned_here and project.pipeline is not None:
        if dry_run:
            raise UserError("--plan-here makes the plan, and --dry-run makes nothing; give one of the two")
        tell("plan", run_step("plan", load_config(project.pipeline)))
    work = work_of(config, overrides or [])
    said = submit_chain(
        config,
        overrides or [],
        write=commit_text,
        work=work,
        notes=hours_of(config, overrides or [], work) if dry_run else (),
        dry_run=dry_run,
        accepts_new_data=accepts_new_data,
        scorers=scorers or (),
    )
    print(said)
