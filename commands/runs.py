"""What a run tells of itself, and the cluster that it may run on."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, RunFolder, app


@app.command()
def status(run: RunFolder) -> None:
    """Show where every step and stage of a run stands. On one screen."""
    from slurm.job_status import show as jobs
    from training.status import show

    show(run)
    if lines := jobs(run):
        print(lines)


@app.command()
def why(
    key: Annotated[str, typer.Argument(help="A pair's key, or enough of its beginning")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
) -> None:
    """Tell one pair's whole story. From its row in the table to the steps that trained on it."""
    from training.why import tell

    print(tell(run, key))


@app.command()
def submit(
    config: Annotated[Path, typer.Argument(help="YAML of the chain, e.g. runs/quickstart/chain.yaml")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the scripts and edges; submit nothing.")] = False,
) -> None:
    """Run the same chain on a SLURM cluster. Array jobs for the shard steps, one multi-node job a stage."""
    from configs import refuse
    from project.check import problems_of
    from project.files import project_of
    from slurm.submit import submit as submit_chain
    from storage.atomic import commit_text

    refuse(problems_of(project_of(config, overrides or []), overrides or [], on_cluster=True))
    print(submit_chain(config, overrides or [], write=commit_text, dry_run=dry_run))
