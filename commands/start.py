"""Where a newcomer begins."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, app

DEFAULT_MINUTES = 5.0  # the whole quickstart then takes ten to twelve on two cores
ConfigsPath = Annotated[
    Path, typer.Argument(help="Folder of configs, or the YAML of a pipeline, a stage or a chain", show_default=False)
]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the configs, and of all that is made; it may be new.")],
    source: Annotated[str | None, typer.Option("--from", help="A url table, shards, or a folder of pictures.")] = None,
    is_quickstart: Annotated[bool, typer.Option("--quickstart", help="The 4,009 drawings of the quickstart.")] = False,
    url: Annotated[str | None, typer.Option(help="Column of urls, where its name is unusual.")] = None,
    caption: Annotated[str | None, typer.Option(help="Column of captions, likewise.")] = None,
    preset: Annotated[str | None, typer.Option(help="tiny, small or paper; as suits the machine if not given.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Of training, for all stages together.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of each stage, in the place of minutes.")] = None,
    pairs: Annotated[int | None, typer.Option(min=1, help="With --quickstart: only so many drawings.")] = None,
) -> None:
    """Look at what is there and write the configs for it, with a reason beside each key. Nothing is overwritten."""
    from configs import UserError
    from project.init import init as write_configs

    if is_quickstart == (source is not None):
        raise UserError("give --from a url table, shards or a folder of pictures, or --quickstart: one of the two")
    if is_quickstart:
        from quickstart.run import begin

        begin(folder, minutes=DEFAULT_MINUTES if minutes is None else minutes, pairs=pairs)
        return
    if pairs is not None:
        raise UserError("--pairs is for --quickstart; of your own data all pairs are taken that the rules let through")
    words = {"url": url, "caption": caption, "preset": preset, "minutes": minutes, "steps": steps}
    for line in write_configs(folder, str(source), **words):  # type: ignore[arg-type]
        print(line, flush=True)


@app.command()
def check(configs: ConfigsPath) -> None:
    """Tell all that is wrong with a folder of configs. Each in one line; of a chain, as its jobs would find it."""
    from configs import refuse
    from project.check import idle_rules_of, problems_of
    from project.files import project_of

    project = project_of(configs)
    refuse(problems_of(project, on_cluster=project.chain == configs))
    for line in idle_rules_of(project):
        print(f"corgi: {line}", file=sys.stderr)
    print(f"{configs}: nothing is wrong with {', '.join(file.name for file in project.files)}")


@app.command()
def run(configs: ConfigsPath) -> None:
    """Go the whole way with a folder of configs: plan to report, training, pictures. What is done is passed over."""
    from project.files import project_of
    from project.run import Whole
    from quickstart.run import web_beside

    Whole(project_of(configs), typed=shlex.join(["corgi", "run", str(configs)]), around=web_beside(configs)).go()


@app.command()
def quickstart(
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
    minutes: Annotated[
        float, typer.Option(help="Of training; turned into steps once, at the start.")
    ] = DEFAULT_MINUTES,
    pairs: Annotated[int | None, typer.Option(help="Only so many drawings, for a look in a minute.")] = None,
    port: Annotated[int, typer.Option(help="On loopback, where the small web is served.")] = 8765,
    prepare_only: Annotated[bool, typer.Option("--prepare-only", help="Draw, write table and configs, stop.")] = False,
    overrides: Overrides = None,
) -> None:
    """Go the whole way once, on 4,009 real pairs. About ten minutes on two cores."""
    from quickstart.run import quickstart as whole_way

    whole_way(run, minutes=minutes, pairs=pairs, port=port, prepare_only=prepare_only, overrides=overrides or [])
