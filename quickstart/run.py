"""The whole way over the small web: its input and its configs, then the commands of `corgi run` with it beside them."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import configs
from cascade.config import Precision
from configs import UserError, dump, load
from evaluation.config import EvaluateConfig
from pipeline.config import PipelineConfig
from project.files import Project
from project.init import refuse_overwriting
from project.run import Around, Whole
from storage.atomic import commit_json, commit_text, read_json
from storage.ledger import note
from storage.samples import EVALUATE
from training.config import TrainConfig

from .demo import click_words

SHARES = {"base16": 0.7, "sr64": 0.15, "sr256": 0.15}  # of the training minutes; each stage is a run of its own
STAGES = tuple(SHARES)
VALIDATIONS = 4  # of each training, however long it is
NOBODY = "127.0.0.1:9"  # where closed.test lies: nothing listens there
YAML = Path(configs.__file__).parent / "quickstart"
LONG_MIN = 30.0  # minutes of training from which the evaluation is whole: it takes four minutes
# Below that:
FEWER = ("per_group=10", "held_out=60", "compared=1000", "gap_pairs=100", "enlarged=16", "bars.of_longer_run=true")
STARTED = "quickstart.json"  # what the run was started with; written before anything else


def quickstart(
    run: Path, *, minutes: float, pairs: int | None, port: int, prepare_only: bool, overrides: Sequence[str]
) -> None:
    """Draw the pictures, write table and configs, then run every command of the chain.

    `minutes` of training are turned into steps once, at the start; `pairs` takes only so many drawings. Overrides are
    written part.key=value (pipeline.workers=1, base16.steps=10, evaluate.held_out=20).
    """
    began = time.monotonic()
    started = _start(run, minutes=minutes, pairs=pairs)
    from .table import prepare

    drawing = time.monotonic()
    prepare(run, pairs=pairs)
    note(run, event="command", command="draw", seconds=round(time.monotonic() - drawing, 2), exit_code=0)
    precision = started.get("precision", "bf16")  # as it was before it was measured
    configure(run, started["steps"], precision=precision, minutes=minutes, port=port, overrides=overrides)
    if prepare_only:
        print(f"prepared {run}; next: corgi run {run}")
        return
    stages = tuple(run / f"{stage}.yaml" for stage in STAGES)
    Whole(
        Project(run / "pipeline.yaml", stages, run / EVALUATE),
        typed="corgi quickstart",
        around=web_beside(run),
        after_evaluate=lambda: click_words(run, STAGES, precision=precision),
    ).go()
    print(f"\ndone in {(time.monotonic() - began) / 60:.1f} minutes; open {run / 'report' / 'index.html'}")


def begin(run: Path, *, minutes: float, pairs: int | None = None, port: int = 8765) -> None:
    """Write what the quickstart begins with into a new run, and no more. Raises UserError where a config is there."""
    refuse_overwriting(run, ["pipeline.yaml", *(f"{stage}.yaml" for stage in STAGES), EVALUATE, "chain.yaml"])
    quickstart(run.absolute(), minutes=minutes, pairs=pairs, port=port, prepare_only=True, overrides=[])


def web_beside(configs: Path) -> Around:
    """Return what serves the small web during the download of a quickstart's folder, and nothing for any other."""
    folder = configs if configs.is_dir() else configs.parent
    if not (folder / STARTED).exists():
        return lambda _: nullcontext()
    from .web import serving

    place = load(PipelineConfig, folder / "pipeline.yaml").download.resolve.get("*.test", "127.0.0.1:8765")
    port = int(place.rpartition(":")[2])
    return lambda name: serving(folder, port=port) if name == "download" else nullcontext()


def _start(run: Path, *, minutes: float, pairs: int | None) -> dict[str, Any]:
    """Return what the run was started with: read where it was written, else settled now and written first."""
    asked = {"minutes": minutes, "pairs": pairs}
    started = read_json(run / STARTED)
    if started is None:
        from project.calibrate import quicker_precision, steps_for  # and torch, which `corgi run` does without

        precision = quicker_precision()
        stages = {name: stage_config(run, name, [f"precision={precision}"]) for name in STAGES}
        steps = {name: steps_for(stages[name], minutes=minutes * share) for name, share in SHARES.items()}
        started = {**asked, "precision": precision, "steps": steps}
        commit_json(run / STARTED, started)
    different = {name: started[name] for name in asked if started[name] != asked[name]}
    if different:
        was = (f"all {name}" if value is None else f"--{name} {value}" for name, value in different.items())
        raise UserError(f"{run} was started with {', '.join(was)}; go on with that, or give another folder with --run")
    return started


def configure(
    run: Path,
    steps: dict[str, int],
    *,
    minutes: float,
    port: int,
    precision: Precision = "bf16",
    overrides: Sequence[str] = (),
) -> None:
    """Write the resolved configs into the run folder: pipeline, one a stage, evaluate, and chain for a cluster."""
    web = f"127.0.0.1:{port}"
    paths = [f"run={run}", f"table=[{run / 'table.parquet'}]"]
    reach = [
        f'download.resolve={{"closed.test": "{NOBODY}", "*.test": "{web}"}}',
        f'download.allow_addresses=["{web}", "{NOBODY}"]',
    ]
    pipeline = load(PipelineConfig, YAML / "pipeline.yaml", [*paths, *reach, *_for("pipeline", overrides)])
    commit_text(run / "pipeline.yaml", dump(pipeline))
    for stage in STAGES:
        paced = [f"steps={steps[stage]}", f"validation.every_steps={-(-steps[stage] // VALIDATIONS)}"]
        suited = [f"precision={precision}", *paced, *_for(stage, overrides)]
        commit_text(run / f"{stage}.yaml", dump(stage_config(run, stage, suited)))
    counts = [f"sample.precision={precision}", *(FEWER if minutes < LONG_MIN else ()), *_for("evaluate", overrides)]
    commit_text(run / EVALUATE, dump(load(EvaluateConfig, YAML / EVALUATE, counts)))
    chain = (YAML / "chain.yaml").read_text(encoding="utf-8").replace("runs/quickstart", str(run))
    commit_text(run / "chain.yaml", chain)


def stage_config(run: Path, stage: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the training of one stage in this run."""
    where = [f"run={run / 'train' / stage}", f"data.index={run / 'index.parquet'}"]
    return load(TrainConfig, YAML / f"{stage}.yaml", [*where, *overrides])


def _for(part: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of one part, without its name."""
    known = ["pipeline", *STAGES, "evaluate"]
    for override in overrides:
        if override.partition(".")[0] not in known:
            raise UserError(f"{override!r}: the quickstart's overrides start with one of {', '.join(known)}")
    return [override.partition(".")[2] for override in overrides if override.startswith(f"{part}.")]
