"""Checkpoints: canonical, committed, checked, and free of pickles.

    <run>/checkpoints/
      step_00001000/
        rank_0/  params.safetensors  exp_avg.safetensors  exp_avg_sq.safetensors  ema_<track>.safetensors
                 manifest.json       sha256 and size of each file
        rank_1/  ...
        stage.json                   what the net is, and which text encoder it was told by
        state.json                   TrainState
        COMMIT.json                  written last: without it the folder does not count
      latest                         name of the newest folder

Tensors are fp32 and go by the net's own parameter names, each on the rank that has it in its share; any world size and
any ZeRO setting can load them. Nothing here depends on the clock: equal trainings make equal bytes.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from configs import Config, UserError
from pipeline.files import commit, commit_bytes, commit_json, read_json, sha256_file

from . import masters
from .config import TrainConfig
from .ema import Ema
from .engine import Engine
from .ranks import Ranks, everyone, wait_for_all

FOLDER = "checkpoints"
COMMIT = "COMMIT.json"
MANIFEST = "manifest.json"


class TrainState(Config):
    """Everything but the tensors. Counts say where the data, the randomness and the learning rate stand."""

    step: int = 0  # batches seen
    seen: int = 0  # samples seen: the position of the next one
    updates: int = 0  # optimizer steps applied; fewer than `step` where some were skipped
    bad_steps: int = 0  # skipped steps in a row, up to now
    config: str = ""  # fingerprint of what decides the training
    data: str = ""  # content of the index it reads


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return run / FOLDER / f"step_{step:08d}"


def save(config: TrainConfig, engine: Engine, ema: Ema, state: TrainState) -> Path:
    """Writes and commits a checkpoint; all ranks call. A kill at any moment leaves the one before it whole."""
    ranks, folder = engine.ranks, folder_of(config.run, state.step)
    if ranks.leads:
        _clear(folder)  # what a killed save left behind
    wait_for_all(ranks)
    _write_share(folder / f"rank_{ranks.rank}", engine, ema)
    wait_for_all(ranks)
    if ranks.leads:
        _seal(config, folder, state, world_size=ranks.world_size)
        _purge(config.run, keep=config.checkpoint.keep)
    wait_for_all(ranks)
    return folder


def load(config: TrainConfig, engine: Engine, ema: Ema) -> tuple[TrainState, list[str]]:
    """Puts the newest whole checkpoint into engine and ema; all ranks call.

    Returns its state (a fresh one where there is none) and a line for each folder that was passed over.
    Raises UserError where there are checkpoints and none is whole.
    """
    found, passed = newest(config.run, ranks=engine.ranks)
    if found is None:
        if passed:
            raise UserError(f"no checkpoint of {config.run} is whole: {'; '.join(passed)}", exit_code=1)
        return TrainState(), []
    state = TrainState.model_validate(read_json(found / "state.json"))
    for kind in masters.KINDS:
        for name, tensor in _tensors(found, kind):
            masters.write(engine, name, kind, tensor)
    for track, averages in ema.averages.items():
        for name, tensor in _tensors(found, f"ema_{track}"):
            if name in averages:
                averages[name].copy_(tensor)
    masters.set_updates(engine, state.updates)
    return state, passed


def newest(run: Path, *, ranks: Ranks) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint, and why newer ones were passed over. The ranks share the reading of the bytes."""
    passed: list[str] = []
    for folder in committed(run):
        wrong = [line for lines in everyone(faults(folder, ranks=ranks), ranks=ranks) for line in lines]
        if not wrong:
            return folder, passed
        passed += wrong
    return None, passed


def committed(run: Path) -> list[Path]:
    """Folders with a COMMIT, newest first. What has none is as if it were not there."""
    return sorted((path.parent for path in (run / FOLDER).glob(f"step_*/{COMMIT}")), reverse=True)


def faults(folder: Path, *, ranks: Ranks | None = None) -> list[str]:
    """What is wrong with the files of a committed checkpoint, a line each; with `ranks` only this rank's share."""
    try:
        wanted = _wanted(folder)
    except (KeyError, TypeError, ValueError, OSError) as error:
        return [f"{folder}: COMMIT or a manifest cannot be read ({type(error).__name__})"]
    first, step = (ranks.rank, ranks.world_size) if ranks else (0, 1)
    found = {folder / name: _fault(folder / name, said) for name, said in wanted[first::step]}
    return [f"{path} {fault}" for path, fault in found.items() if fault]


def _wanted(folder: Path) -> list[tuple[str, dict[str, object]]]:
    """(name, {sha256, size}) of every file a checkpoint must have, by COMMIT and the manifests."""
    sealed: dict[str, dict[str, object]] = read_json(folder / COMMIT)["files"]
    wanted = list(sealed.items())
    for name in sealed:
        if name.endswith(MANIFEST):
            inside: dict[str, dict[str, object]] = read_json(folder / name)["files"]
            wanted += [(f"{Path(name).parent}/{file}", said) for file, said in inside.items()]
    return wanted


def _fault(path: Path, said: Mapping[str, object]) -> str | None:
    if not path.exists():
        return "is missing"
    if path.stat().st_size != said["size"]:
        return f"has {path.stat().st_size} bytes, not {said['size']}"
    return None if sha256_file(path) == said["sha256"] else "has other bytes than were written (sha256 differs)"


def _said(path: Path) -> dict[str, object]:
    return {"sha256": sha256_file(path), "size": path.stat().st_size}


def _write_share(folder: Path, engine: Engine, ema: Ema) -> None:
    """This rank's tensors and their manifest, all durable."""
    folder.mkdir(parents=True)
    mine = set(engine.share)
    for kind in masters.KINDS:
        kept = {}
        for name in engine.params:  # all ranks ask for all names: reading may be a collective
            tensor = masters.read(engine, name, kind)
            if name in mine:
                kept[name] = tensor.float().cpu().contiguous()
        _save(folder / f"{kind}.safetensors", kept)
    for track, averages in ema.averages.items():
        _save(folder / f"ema_{track}.safetensors", {name: tensor.cpu() for name, tensor in averages.items()})
    files = {path.name: _said(path) for path in sorted(folder.glob("*.safetensors"))}
    commit_json(folder / MANIFEST, {"files": files})


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    commit(path, lambda scratch: save_file(tensors, scratch))


def _seal(config: TrainConfig, folder: Path, state: TrainState, *, world_size: int) -> None:
    """stage, state, then COMMIT, then `latest`: each durable before the next."""
    commit_json(folder / "stage.json", {"stage": _plain(config.stage), "text": _plain(config.text.encoder)})
    commit_json(folder / "state.json", _plain(state))
    sealed = [folder / f"rank_{rank}" / MANIFEST for rank in range(world_size)]
    sealed += [folder / "stage.json", folder / "state.json"]
    files = {str(path.relative_to(folder)): _said(path) for path in sealed}
    commit_json(folder / COMMIT, {"step": state.step, "world_size": world_size, "files": files})
    commit_bytes(folder.parent / "latest", f"{folder.name}\n".encode())


def _plain(model: Config) -> dict[str, object]:
    return model.model_dump(mode="json")


def _tensors(folder: Path, kind: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a kind, one at a time, over the folders of all ranks."""
    for path in sorted(folder.glob(f"rank_*/{kind}.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                yield name, file.get_tensor(name)


def _purge(run: Path, *, keep: int) -> None:
    """Old checkpoints go, once newer ones are committed."""
    for folder in committed(run)[keep:]:
        _clear(folder)


def _clear(folder: Path) -> None:
    """Removes a folder, its COMMIT first, so that a half removed one does not count."""
    (folder / COMMIT).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
