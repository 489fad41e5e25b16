"""From a table of image urls and captions to a trained text-to-image cascade.

One function a command. Heavy imports stand inside the command that needs them, so that `--help` is quick.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs import exit_code_of, printable
from configs.steps import ENTRIES, StepEntry

if TYPE_CHECKING:
    from pipeline.runner import Outcome

app = typer.Typer(
    name="corgi",
    help=__doc__.partition("\n")[0] + " The commands stand in the order of a pair's way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PipelineFile = Annotated[Path, typer.Argument(help="YAML of the pipeline, e.g. configs/quickstart/pipeline.yaml")]
TrainFile = Annotated[Path, typer.Argument(help="YAML of one stage's training, e.g. configs/train/base64.yaml")]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, e.g. runs/quickstart")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Today's differences, e.g. download.retries=0")]
Rank = Annotated[int, typer.Option(help="Which share of the shards is ours, from 0.")]
WorldSize = Annotated[int, typer.Option(help="How many shares there are.")]
Retry = Annotated[str | None, typer.Option(help="Ask again for what was lost: transient, or robots_txt,http_404.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes here; the config's `workers` if not given.")]


@app.command()
def quickstart(
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
    minutes: Annotated[float, typer.Option(help="Of training; turned into steps once, at the start.")] = 7.0,
    pairs: Annotated[int | None, typer.Option(help="Only so many drawings, for a look in a minute.")] = None,
    port: Annotated[int, typer.Option(help="On loopback, where the small web is served.")] = 8765,
    prepare_only: Annotated[bool, typer.Option("--prepare-only", help="Draw, write table and configs, stop.")] = False,
    overrides: Overrides = None,
) -> None:
    """Go the whole way once, on 4,009 real pairs. About ten minutes on two cores."""
    from quickstart.run import quickstart as whole_way

    whole_way(run, minutes=minutes, pairs=pairs, port=port, prepare_only=prepare_only, overrides=overrides or [])


def _command_of(entry: StepEntry) -> Callable[..., None]:
    def shard_step(
        config: PipelineFile,
        overrides: Overrides = None,
        rank: Rank = 0,
        world_size: WorldSize = 1,
        workers: Workers = None,
    ) -> None:
        _run(entry.name, config, overrides, rank, world_size, workers)

    def download(
        config: PipelineFile,
        overrides: Overrides = None,
        rank: Rank = 0,
        world_size: WorldSize = 1,
        workers: Workers = None,
        retry: Retry = None,
    ) -> None:
        _run(entry.name, config, overrides, rank, world_size, workers, retry=retry)

    def table_step(config: PipelineFile, overrides: Overrides = None) -> None:
        _run(entry.name, config, overrides)

    if entry.name == "download":
        return download
    return shard_step if entry.kind == "shard" else table_step


for entry in ENTRIES:
    app.command(entry.name, help=entry.help)(_command_of(entry))


@app.command()
def report(config: PipelineFile, overrides: Overrides = None) -> None:
    """Write the page. Every loss with its reason, curves and pictures: report/index.html and report/funnel.json."""
    from configs import load
    from pipeline.config import PipelineConfig
    from report.page import write_report

    print(write_report(load(PipelineConfig, config, overrides or [])))


@app.command()
def export(
    run: RunFolder,
    to: Annotated[str, typer.Option("--to", help="webdataset, parquet or hf.")],
    out: Annotated[Path | None, typer.Option(help="Folder; RUN/export/... if not given.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only what this stage trains on.")] = None,
    max_side: Annotated[int | None, typer.Option(help="Longest side in px; larger images are made smaller.")] = None,
    shard_size: Annotated[int, typer.Option(help="Pairs of a file at most; 0: as is usual for the format.")] = 0,
    text_embeds: Annotated[str, typer.Option(help="beside (a training reads them), inside (float32), none.")] = "none",
    workers: Workers = None,
) -> None:
    """Hand on what was kept, repacked, train and held out apart: to any other trainer, or smaller to our own."""
    from pipeline.export.export import export as export_run
    from pipeline.export.options import Options

    options = Options(to, stage, max_side, shard_size, text_embeds)  # type: ignore[arg-type]  # it checks them
    _tell("export", export_run(run, options, folder=out, workers=workers))


@app.command()
def train(config: TrainFile, overrides: Overrides = None) -> None:
    """Train one stage, or continue where it stopped. It knows nothing of the other stages."""
    from training.launcher import train as train_stage

    raise typer.Exit(train_stage(config, overrides or []))


@app.command()
def explain(configs: Annotated[list[Path], typer.Argument(help="YAML files of stages' trainings")]) -> None:
    """Print what stages are, without weights. Parameters, batch arithmetic, memory."""
    from training.status import explain as describe

    for config in configs:
        print(describe(config))


@app.command()
def evaluate(run: RunFolder, overrides: Overrides = None) -> None:
    """Draw sets of pictures with a run's newest checkpoints, and measure them. samples/ and figures.json."""
    from evaluation.evaluate import evaluate as evaluate_run

    evaluate_run(run, overrides or [])


@app.command()
def sample(
    stages: Annotated[list[Path], typer.Argument(help="Run folders of the trained stages, lowest first")],
    caption: Annotated[list[str], typer.Option(help="What to draw; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("samples"),
    seed: Annotated[int, typer.Option(help="Of the first image; the next has the next seed.")] = 0,
) -> None:
    """Draw captions with trained stages: the base, and any number of those that enlarge after it."""
    from evaluation.sample_sets import draw

    for path in draw(stages, captions=caption, out=out, seed=seed):
        print(path)


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
def takedown(
    source: Annotated[Path, typer.Argument(help="Text file, a line each: a url, host:NAME, sha256, pdq:HASH, or key.")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")],
    is_applied: Annotated[bool, typer.Option("--apply", help="Change the run's files; else it is only told.")] = False,
) -> None:
    """Take pairs down, and tell what they touched. Their bytes leave the run's files; checkpoints are named."""
    from training.takedown import takedown as take_down

    for line in take_down(run, source, is_applied=is_applied):
        print(line)


@app.command()
def submit(
    config: Annotated[Path, typer.Argument(help="YAML of the chain, e.g. runs/quickstart/chain.yaml")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the scripts and edges; submit nothing.")] = False,
) -> None:
    """Run the same chain on a SLURM cluster. Array jobs for the shard steps, one multi-node job a stage."""
    from slurm.submit import submit as submit_chain
    from storage.atomic import commit_text

    print(submit_chain(config, overrides or [], write=commit_text, dry_run=dry_run))


def _run(
    name: str,
    file: Path,
    overrides: list[str] | None,
    rank: int = 0,
    world_size: int = 1,
    workers: int | None = None,
    *,
    retry: str | None = None,
) -> None:
    """Run a step, and tell what it came to. retry: of the download."""
    from configs import load
    from pipeline.config import PipelineConfig
    from pipeline.runner import run_step

    config, step = load(PipelineConfig, file, overrides or []), None
    if retry is not None:
        from pipeline.download.reasons import parse_reasons
        from pipeline.download.retry import Retry

        step = Retry(config.download, parse_reasons(retry))
    outcome = run_step(name, config, step=step, rank=rank, world_size=world_size, workers=workers)
    _tell(name, outcome, tolerate=config.tolerate)


def _tell(name: str, outcome: "Outcome", *, tolerate: int = 0) -> None:
    """Print what a step came to; leave with 3 where more shards failed than are tolerated."""
    counts = "  ".join(f"{reason} {count:,}" for reason, count in outcome.counts.most_common())
    print(f"{name}: {outcome.done} made, {outcome.skipped} there already, {outcome.seconds:.1f} s  {counts}".rstrip())
    for shard, cause in sorted(outcome.failed.items()):
        print(f"{name}: shard {shard:05d} failed: {printable(cause)}", file=sys.stderr)
    if len(outcome.failed) > tolerate:
        raise typer.Exit(3)


def main() -> None:
    """Run a command.

    Exit codes: 0 done, 1 failed, 2 wrong use or config, 3 shards failed, 75 stopped early (requeue), 93 stop the chain.
    """
    from storage.processes import die_with_starter

    die_with_starter()
    sys.exit(exit_code_of(app))


if __name__ == "__main__":
    main()
