"""The application that commands add themselves to, the arguments that several take, and how an outcome is told."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs import printable

if TYPE_CHECKING:
    from pipeline.ranks import Ranks
    from pipeline.runner import Outcome

DISTRIBUTION = "corgi-t2i"

app = typer.Typer(
    name="corgi",
    help="From a table of image urls and captions to a trained text-to-image cascade."
    " The commands stand in the order of a pair's way.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        print(f"corgi {version()}")
        raise typer.Exit()


@app.callback()
def corgi(
    is_version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version and commit.")
    ] = False,
) -> None:
    """Take what stands before the name of a command."""


def version() -> str:
    """Return the version of this code, and the commit where it runs from a work tree."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    from storage.run import code_commit

    try:
        number = version_of(DISTRIBUTION)
    except PackageNotFoundError:  # it runs from a folder in which it was never installed
        number = "not installed"
    commit = code_commit()
    return f"{number}, commit {commit}" if commit else number


PipelineFile = Annotated[Path, typer.Argument(help="YAML of the pipeline, or folder of a run, e.g. runs/quickstart")]
TrainFile = Annotated[Path, typer.Argument(help="YAML of one stage's training, e.g. configs/train/base64.yaml")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, e.g. runs/quickstart")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Today's differences, e.g. download.retries=0")]
FROM_STARTER = "else as torchrun, an Indexed Job or SLURM's array say."
Rank = Annotated[int | None, typer.Option(help=f"Which share of the shards is ours, from 0; {FROM_STARTER}")]
WorldSize = Annotated[int | None, typer.Option(help=f"How many shares there are; {FROM_STARTER}")]
Retry = Annotated[str | None, typer.Option(help="Ask again for what was lost: transient, or robots_txt,http_404.")]
Verdict = Annotated[
    bool, typer.Option("--verdict", help="Make nothing: tell what all shares came to; 3 where it is not tolerated.")
]
Scorers = Annotated[
    list[str] | None, typer.Option(help="Scorers of your own: a Python file, or the name of an entry point.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes here; the config's `workers` if not given.")]


def share_of(name: str, rank: int | None, world_size: int | None) -> "Ranks":
    """Return which share is ours, and tell where it was not typed. rank, world_size: as typed; None: not."""
    from pipeline.ranks import ranks_of

    share = ranks_of(rank, world_size)
    if share.source:
        print(f"{name}: rank {share.rank} of {share.world_size}, as {share.source} says", file=sys.stderr)
    return share


def tell(name: str, outcome: "Outcome", *, tolerate: int = 0) -> None:
    """Print what a step came to; leave with 3 where more shards failed, or more pairs are lost, than is tolerated."""
    counts = "  ".join(f"{reason} {count:,}" for reason, count in outcome.counts.most_common())
    print(f"{name}: {outcome.done} made, {outcome.skipped} there already, {outcome.seconds:.1f} s  {counts}".rstrip())
    for shard, cause in sorted(outcome.failed.items()):
        print(f"{name}: shard {shard:05d} failed: {printable(cause)}", file=sys.stderr)
    if 0 < len(outcome.failed) <= tolerate:
        print(f"{name}: {len(outcome.failed)} failed of {tolerate} that are tolerated", file=sys.stderr)
    for line in outcome.losses:
        print(printable(line), file=sys.stderr)
    if len(outcome.failed) > tolerate or outcome.losses:
        raise typer.Exit(3)
