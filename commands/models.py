"""What is done with the stages of a cascade."""

from pathlib import Path
from typing import Annotated

import typer

from .app import Overrides, RunFolder, TrainFile, app


@app.command()
def train(
    config: TrainFile,
    overrides: Overrides = None,
    accepts_new_data: Annotated[
        bool, typer.Option("--accept-new-data", help="Go on though the index has changed; noted from which step on.")
    ] = False,
) -> None:
    """Train one stage, or continue where it stopped. It knows nothing of the other stages."""
    from training.preemption import leaving

    with leaving():  # the import alone takes seconds, and a request may come in the middle of it
        from training.launcher import train as train_stage

        raise typer.Exit(train_stage(config, overrides or [], accepts_new_data=accepts_new_data))


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
    caption: Annotated[list[str] | None, typer.Option(help="What to draw; may be given several times.")] = None,
    captions: Annotated[Path | None, typer.Option(help="Text file of captions, one a line.")] = None,
    start: Annotated[
        list[Path] | None, typer.Option(help="A picture to enlarge, for each caption or for all; without a base.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the PNG files; the run's samples if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first image; the next has the next seed.")] = 0,
    steps: Annotated[str | None, typer.Option(help="Of the sampler: 64, or for each stage 64,32.")] = None,
    guidance: Annotated[str | None, typer.Option(help="1 draws by the caption alone, more insists: 3, or 3,1.")] = None,
    aug_level: Annotated[str | None, typer.Option(help="Noise on what enlarging stages are given, 0 to 1.")] = None,
    threshold: Annotated[str | None, typer.Option(help="none, static or dynamic.")] = None,
    method: Annotated[str | None, typer.Option(help="ddpm, ddim, dpmpp_2m or heun.")] = None,
    ema: Annotated[str, typer.Option(help="Which EMA weights, by their track; params: the raw ones.")] = "ema",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU if there is one.")] = None,
    precision: Annotated[str, typer.Option(help="fp32, or bf16 where the machine computes in it.")] = "fp32",
    batch: Annotated[int, typer.Option(help="Captions drawn at once.")] = 16,
    grid: Annotated[bool, typer.Option("--grid", help="One picture of all of them, too.")] = False,
) -> None:
    """Draw captions with trained stages. The base and any number of those that enlarge after it, or these alone.

    Options of the sampler take one value for all stages, or one for each with commas between, lowest first; --aug-level
    one for each that enlarges. What is not given is as the stage's own config says.
    """
    from configs import resolve
    from evaluation.draw import DrawConfig, draw, read_captions

    names = {"steps": steps, "guidance": guidance, "aug_level": aug_level, "threshold": threshold, "method": method}
    how = {"seed": seed, "track": ema, "device": device, "precision": precision, "batch": batch, "grid": grid}
    config = resolve(DrawConfig, how, source="sample")
    texts = [*(caption or []), *(read_captions(captions) if captions else [])]
    asked = {name: value for name, value in names.items() if value is not None}
    for path in draw(stages, captions=texts, start=start or [], out=out, asked=asked, config=config):
        print(path)
