"""The whole way over the small web, by the same commands that a person types.

Every command is printed before it runs and can be typed again by itself; what is finished is skipped, so the same
`corgi quickstart` goes on after a kill at any moment.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import configs
from configs import UserError, dump, load
from pipeline.config import PipelineConfig
from pipeline.files import commit_bytes, commit_json, read_json
from pipeline.ledger import note
from pipeline.orphans import PARENT
from pipeline.steps import ORDER
from training.config import TrainConfig
from training.launch import STOPPED

from .pace import steps_for

SHARES = {"base16": 0.7, "sr64": 0.15, "sr256": 0.15}  # of the training minutes; each stage is a run of its own
STAGES = tuple(SHARES)
VALIDATIONS = 6  # of each training, however long it is
NOBODY = "127.0.0.1:9"  # where closed.test lies: nothing listens there
YAML = Path(configs.__file__).parent / "quickstart"
NEXT = "mend what it says above; the same `corgi quickstart` goes on from there"
STARTED = "quickstart.json"  # what the run was started with; written before anything else


def quickstart(
    run: Path, *, minutes: float, pairs: int | None, port: int, prepare_only: bool, overrides: Sequence[str]
) -> None:
    """Draws the pictures, writes table and configs, then runs every command of the chain.

    `minutes` of training are turned into steps once, at the start; `pairs` takes only so many drawings. Overrides are
    written stage.key=value or pipeline.key=value (pipeline.workers=1, base16.steps=10).
    """
    began = time.monotonic()
    started = _start(run, minutes=minutes, pairs=pairs)
    from .table import prepare  # draws with a process pool: a heavy import

    drawing = time.monotonic()
    prepare(run, pairs=pairs)
    note(run, event="command", command="draw", seconds=round(time.monotonic() - drawing, 2), exit_code=0)
    configure(run, started["steps"], port=port, overrides=overrides)
    if prepare_only:
        print(f"prepared {run}; next: corgi plan {run / 'pipeline.yaml'}")
        return
    for name in [*ORDER, "report"]:
        with _web(run, port) if name == "download" else nullcontext():
            _command(run, name, ["corgi", name, str(run / "pipeline.yaml")])
    for stage in STAGES:
        _command(run, f"train {stage}", ["corgi", "train", str(run / f"{stage}.yaml")])
    _command(run, "figures", [sys.executable, "-m", "quickstart.figures", str(run)])
    _command(run, "report", ["corgi", "report", str(run / "pipeline.yaml")])
    print(f"\ndone in {(time.monotonic() - began) / 60:.1f} minutes; open {run / 'report' / 'index.html'}")


def _start(run: Path, *, minutes: float, pairs: int | None) -> dict[str, Any]:
    """What the run was started with: read where it was written, else settled now and written first."""
    asked = {"minutes": minutes, "pairs": pairs}
    started = read_json(run / STARTED)
    if started is None:
        steps = {name: steps_for(stage_config(run, name), minutes=minutes * share) for name, share in SHARES.items()}
        started = {**asked, "steps": steps}
        commit_json(run / STARTED, started)
    different = {name: started[name] for name in asked if started[name] != asked[name]}
    if different:
        said = (f"all {name}" if value is None else f"--{name} {value}" for name, value in different.items())
        was = ", ".join(said)
        raise UserError(f"{run} was started with {was}; go on with that, or give another folder with --run")
    return started


def configure(run: Path, steps: dict[str, int], *, port: int, overrides: Sequence[str] = ()) -> None:
    """Writes the resolved pipeline.yaml, one YAML a stage, and chain.yaml for a cluster into the run folder."""
    web = f"127.0.0.1:{port}"
    paths = [f"run={run}", f"table=[{run / 'table.parquet'}]"]
    reach = [
        f'download.resolve={{"closed.test": "{NOBODY}", "*.test": "{web}"}}',
        f'download.allow_addresses=["{web}", "{NOBODY}"]',
    ]
    pipeline = load(PipelineConfig, YAML / "pipeline.yaml", [*paths, *reach, *_for("pipeline", overrides)])
    commit_bytes(run / "pipeline.yaml", dump(pipeline).encode())
    for stage in STAGES:
        paced = [f"steps={steps[stage]}", f"validation.every_steps={-(-steps[stage] // VALIDATIONS)}"]
        training = stage_config(run, stage, [*paced, *_for(stage, overrides)])
        commit_bytes(run / f"{stage}.yaml", dump(training).encode())
    chain = (YAML / "chain.yaml").read_text(encoding="utf-8").replace("runs/quickstart", str(run))
    commit_bytes(run / "chain.yaml", chain.encode())


def stage_config(run: Path, stage: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """The training of one stage in this run."""
    where = [f"run={run / 'train' / stage}", f"data.index={run / 'index.parquet'}"]
    return load(TrainConfig, YAML / f"{stage}.yaml", [*where, *overrides])


def _for(part: str, overrides: Sequence[str]) -> list[str]:
    known = ["pipeline", *STAGES]
    for override in overrides:
        if override.partition(".")[0] not in known:
            raise UserError(f"{override!r}: the quickstart's overrides start with one of {', '.join(known)}")
    return [override.partition(".")[2] for override in overrides if override.startswith(f"{part}.")]


@contextmanager
def _web(run: Path, port: int) -> Iterator[None]:
    from .web import serving

    with serving(run, port=port):
        yield


def _command(run: Path, name: str, command: list[str]) -> None:
    """Prints and runs one command; a failure ends the quickstart with the command's own exit code."""
    shown = ["python" if part == sys.executable else part for part in command]
    print(f"\n$ {' '.join(shown)}", flush=True)
    real = [sys.executable, "-m", "corgi", *command[1:]] if command[0] == "corgi" else command
    began = time.monotonic()
    done = subprocess.run(real, env={**os.environ, PARENT: str(os.getpid())}, check=False)
    seconds = round(time.monotonic() - began, 2)
    note(run, event="command", command=name, seconds=seconds, exit_code=done.returncode)
    if done.returncode == STOPPED:
        raise UserError("stopped, as asked; the same `corgi quickstart` goes on from there", exit_code=STOPPED)
    if done.returncode:
        raise UserError(f"`{' '.join(shown)}` ended with {done.returncode}; {NEXT}", exit_code=max(done.returncode, 1))
