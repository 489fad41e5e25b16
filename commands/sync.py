"""What trackers are told of a run."""

import os
import sys
from typing import Annotated

import typer

from .app import RunFolder, app


@app.command()
def sync(
    run: RunFolder,
    to: Annotated[str, typer.Option("--to", help="wandb or tensorboard.")] = "wandb",
    is_offline: Annotated[bool, typer.Option("--offline", help="Into files, for `wandb sync` to send.")] = False,
    is_followed: Annotated[bool, typer.Option("--follow", help="Again and again, until it is stopped.")] = False,
    is_alone: Annotated[bool, typer.Option("--alone", help="The folder's own ledger, not those of trainings.")] = False,
    process: Annotated[int | None, typer.Option("--while", help="Follow as long as this process lives.")] = None,
) -> None:
    """Tell W&B or TensorBoard what they do not know yet of a run. From a login node, while jobs run, again and again.

    Each step of the pipeline and each training becomes a run of one group. The ledgers are the truth: a line that was
    told is not told twice, whatever was killed meanwhile.
    """
    from typing import get_args

    from configs import UserError, nearest, printable
    from tracking.sync import Tracker, follow
    from tracking.sync import sync as sync_run

    if to not in get_args(Tracker):
        raise UserError(f"--to {to!r} is no tracker{nearest(to, get_args(Tracker))}")
    how = {"to": to, "offline": is_offline or os.environ.get("WANDB_MODE") == "offline", "alone": is_alone}
    follows = is_followed or process is not None
    is_complete = True
    for told in follow(run, process=process, **how) if follows else sync_run(run, **how):  # type: ignore[arg-type]
        is_complete = told.is_complete and (is_complete or follows)
        for line in told.lines:
            print(printable(line), file=sys.stdout if told.is_complete else sys.stderr, flush=True)
    if not is_complete:
        raise typer.Exit(1)
