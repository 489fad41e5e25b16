"""What the run is: when, by which code and config, on which machine, with which seeds, and how large its models are."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from cascade.explain import parameters
from storage import ledger
from storage.run import CONFIG, commit_of, machine_of, trainings_of
from training.run_folder import read_config

COMMIT_CHARS = 12


class Model(NamedTuple):
    """One stage."""

    name: str
    makes: str
    parameters: int
    seed: int
    yaml: str  # url from the page


class About(NamedTuple):
    """What the head of the page tells."""

    began: str | None  # UTC
    ended: str | None
    commits: list[str]
    machines: list[str]
    commands: list[str]
    models: list[Model]
    yamls: dict[str, str]  # name -> url from the page


def about(run: Path, page: Path) -> About:
    """Return what is known of a run. page: the folder of the page, from which files are linked."""
    folders = [run, *(folder for folder in trainings_of(run) if folder != run)]
    lines = [line for folder in folders for line in ledger.read(folder)]
    times = sorted(line["time"] for line in lines if isinstance(line.get("time"), int | float))
    own = [line for line in ledger.read(run) if line.get("event") in ("step", "command")]
    yamls = [path for path in sorted(run.glob("*.yaml")) if path.name != CONFIG]
    named = {path.name: path for path in [*yamls, run / CONFIG] if path.exists()}
    return About(
        began=_day(times[0]) if times else None,
        ended=_day(times[-1]) if times else None,
        commits=_unique((commit_of(folder) or "")[:COMMIT_CHARS] for folder in folders),
        machines=_unique([*(line.get("machine") for line in own), *map(machine_of, folders)]),
        commands=_unique(line.get("step") if line["event"] == "step" else line.get("command") for line in own),
        models=_models(run, page),
        yamls={name: url(path, page) for name, path in named.items()},
    )


def url(path: Path, page: Path) -> str:
    """Return a file's address, as the page links it: relative, and safe whatever it is called."""
    relative = quote(os.path.relpath(path, page))
    return relative if relative.startswith(".") else f"./{relative}"


def _models(run: Path, page: Path) -> list[Model]:
    models = list[tuple[int, Model]]()
    for folder in trainings_of(run):
        if config := read_config(folder):
            stage = config.stage
            makes = f"{stage.low_res_px} to {stage.image_px} px" if stage.low_res_px else f"text to {stage.image_px} px"
            model = Model(stage.name, makes, parameters(stage), config.seed, url(folder / CONFIG, page))
            models.append((stage.image_px, model))
    return [model for _, model in sorted(models)]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _unique(values: Any) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value))
