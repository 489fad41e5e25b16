"""Where a newcomer begins."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, app


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
