"""The pipeline's steps, each a command by its entry in the registry, and what is made of a run's pairs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from configs import printable
from configs.steps import ENTRIES, StepEntry

from .app import (
    Json,
    Overrides,
    PipelineFile,
    Rank,
    Retry,
    RunFolder,
    Scorers,
    Verdict,
    Workers,
    WorldSize,
    app,
    share_of,
    tell,
)

WhatIf = Annotated[
    list[str] | None,
    typer.Option(help='Write nothing; tell what another rule ("nsfw_score < 0.3") or policy would change.'),
]


def _command_of(entry: StepEntry) -> Callable[..., None]:
    def shard_step(
        config: PipelineFile,
        overrides: Overrides = None,
        rank: Rank = None,
        world_size: WorldSize = None,
        workers: Workers = None,
        is_verdict: Verdict = False,
        scorers: Scorers = None,
    ) -> None:
        _run(entry.name, config, overrides, rank, world_size, workers, is_verdict=is_verdict, scorers=scorers)

    def download(
        config: PipelineFile,
        overrides: Overrides = None,
        rank: Rank = None,
        world_size: WorldSize = None,
        workers: Workers = None,
        retry: Retry = None,
        is_verdict: Verdict = False,
    ) -> None:
        _run(entry.name, config, overrides, rank, world_size, workers, retry=retry, is_verdict=is_verdict)

    def select(
        config: PipelineFile,
        overrides: Overrides = None,
        rank: Rank = None,
        world_size: WorldSize = None,
        workers: Workers = None,
        what_if: WhatIf = None,
        is_json: Json = False,
        is_verdict: Verdict = False,
    ) -> None:
        if what_if:
            from .filters import tell_what_if

            tell_what_if(config, overrides, what_if, is_json=is_json)
        else:
            _run(entry.name, config, overrides, rank, world_size, workers, is_verdict=is_verdict)

    def table_step(config: PipelineFile, overrides: Overrides = None, scorers: Scorers = None) -> None:
        _run(entry.name, config, overrides, scorers=scorers)

    if entry.name in ("download", "select"):
        return download if entry.name == "download" else select
    return shard_step if entry.kind == "shard" else table_step


def _run(
    name: str,
    file: Path,
    overrides: list[str] | None,
    rank: int | None = 0,
    world_size: int | None = 1,
    workers: int | None = None,
    *,
    retry: str | None = None,
    is_verdict: bool = False,
    scorers: list[str] | None = None,
) -> None:
    """Run a step, and tell what it came to. rank, world_size: as typed; retry: of the download; scorers: one's own."""
    from pipeline.runner import run_step
    from pipeline.status import config_to_make

    if scorers:
        from filters.own import ask_for

        ask_for(scorers)
    config, step = config_to_make(file, overrides or []), None
    if is_verdict:
        from pipeline.verdict import verdict

        tell(name, verdict(name, config), tolerate=config.tolerate)
        return
    share = share_of(name, rank, world_size)
    if retry is not None:
        from pipeline.download.reasons import parse_reasons
        from pipeline.download.retry import Retry

        step = Retry(config.download, parse_reasons(retry))
    outcome = run_step(name, config, step=step, rank=share.rank, world_size=share.world_size, workers=workers)
    tell(name, outcome, tolerate=config.tolerate)


for entry in ENTRIES:
    app.command(entry.name, help=entry.help)(_command_of(entry))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="YAML of the pipeline, or the folder of any run")],
    overrides: Overrides = None,
) -> None:
    """Write the page. Every loss with its reason, curves and pictures: report/index.html and report/funnel.json."""
    from report.page import report as write_page

    print(write_page(run, overrides or []))


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
    tell("export", export_run(run, options, folder=out, workers=workers))


@app.command()
def recheck(
    config: PipelineFile,
    overrides: Overrides = None,
    days: Annotated[float, typer.Option(min=0, help="Answers so old are asked for again.")] = 30.0,
    rank: Rank = None,
    world_size: WorldSize = None,
    workers: Workers = None,
) -> None:
    """Ask again whether what is stored may be trained on: robots.txt and the like, and headers. No image is fetched."""
    from pipeline.recheck import list_objections
    from pipeline.recheck import recheck as ask
    from pipeline.status import config_to_make

    loaded, share = config_to_make(config, overrides or []), share_of("recheck", rank, world_size)
    outcome = ask(
        loaded.run,
        loaded.download,
        days=days,
        rank=share.rank,
        world_size=share.world_size,
        workers=workers or loaded.workers,
    )
    for line in list_objections(loaded.run):
        print(printable(line))
    tell("recheck", outcome, tolerate=loaded.tolerate)


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
