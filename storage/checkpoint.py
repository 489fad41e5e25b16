"""Checkpoints on disk: names, commitment, verification, reading. Free of pickles.

    <run>/checkpoints/
      step_00001000/
        rank_0/  params.safetensors  exp_avg.safetensors  exp_avg_sq.safetensors  ema_<track>.safetensors
                 manifest.json       sha256 and size of each file
        rank_1/  ...
        stage.json                   what the net is, which text encoder it was trained with, where texts were cut
        state.json                   where the training stood
        COMMIT.json                  written last: without it the folder does not count
      latest                         name of the newest folder

Tensors are fp32 and go by the net's own parameter names, each in the folder of one rank. Nothing here depends on the
clock: equal trainings make equal bytes. What is told of checkpoints, and not of their tensors, is read without torch.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from .atomic import commit, commit_json, commit_text
from .marks import (
    BrokenError,
    fault_of,
    files_in,
    mark_of,
    read_object,
    read_safetensors,
    read_sealed,
    with_seal,
)

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "checkpoints"
COMMIT = "COMMIT.json"
MANIFEST = "manifest.json"
STAGE = "stage.json"
STATE = "state.json"
RAW = "params"  # the track of the weights themselves, without averaging


def folder_of(run: Path, step: int) -> Path:
    """Return where the checkpoint after `step` steps lies."""
    return run / FOLDER / f"step_{step:08d}"


def step_of(folder: Path) -> int:
    """Return the step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step_"))


def committed(run: Path) -> list[Path]:
    """Return the folders with a COMMIT, newest first. What has none is as if it were not there.

    run: the folder of a training, or that of its checkpoints.
    """
    home = run / FOLDER if (run / FOLDER).is_dir() else run
    return sorted((path.parent for path in home.glob(f"step_*/{COMMIT}")), reverse=True)


def file_of(track: str) -> str:
    """Return the name of a track's file. track: of an EMA, or "params"."""
    return f"{RAW if track == RAW else f'ema_{track}'}.safetensors"


def write_share(folder: Path, rank: int, tensors: "Iterable[tuple[str, dict[str, Tensor]]]") -> None:
    """Write one rank's files and their manifest, all durable. tensors: (kind, name -> contiguous tensor) of each."""
    from safetensors.torch import save_file

    home = folder / f"rank_{rank}"
    home.mkdir(parents=True)
    for kind, share in tensors:
        commit(home / f"{kind}.safetensors", partial(save_file, share))
    files = {path.name: mark_of(path) for path in sorted(home.glob("*.safetensors"))}
    commit_json(home / MANIFEST, {"files": files})


def seal(folder: Path, *, step: int, world_size: int, stage: Any, state: Any) -> None:
    """Commit a checkpoint whose shares are written: stage, state, COMMIT, `latest`, each durable before the next."""
    commit_json(folder / STAGE, stage)
    commit_json(folder / STATE, state)
    sealed = [*(folder / f"rank_{rank}" / MANIFEST for rank in range(world_size)), folder / STAGE, folder / STATE]
    files = {str(path.relative_to(folder)): mark_of(path) for path in sealed}
    content = {"step": step, "world_size": world_size, "files": files}
    commit_json(folder / COMMIT, with_seal(content))
    commit_text(folder.parent / "latest", f"{folder.name}\n")


def remove(folder: Path) -> None:
    """Remove a checkpoint, its COMMIT first, so that a half removed one does not count."""
    (folder / COMMIT).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def remove_torn(run: Path) -> list[str]:
    """Remove what saves and removals that were cut short have left; return the names of the folders.

    Only where nobody else can be saving.
    """
    torn = sorted(path for path in (run / FOLDER).glob("step_*") if not (path / COMMIT).exists())
    for folder in torn:
        remove(folder)
    return [folder.name for folder in torn]


def faults(folder: Path, *, part: slice = slice(None)) -> list[str]:
    """Return what is wrong with the files of a committed checkpoint, a line each. part: of its files."""
    try:
        files = _all_files(folder)
    except BrokenError as error:
        return [str(error)]
    lines = {folder / name: fault_of(folder / name, mark) for name, mark in files[part]}
    return [f"{path} {fault}" for path, fault in lines.items() if fault]


def read_about(folder: Path) -> tuple[int, dict[str, Any]]:
    """Return a checkpoint's step and its stage.json, whose digest is checked. Raises BrokenError."""
    path = folder / COMMIT
    content = _commit(folder)
    files, step = files_in(path, content), content.get("step")
    if STAGE not in files:
        raise BrokenError(f"{path} does not list {STAGE}")
    if not isinstance(step, int):
        raise BrokenError(f"{path} names no step")
    return step, read_object(folder / STAGE, files[STAGE])


def read_track(folder: Path, track: str) -> "tuple[dict[str, Tensor], list[str]]":
    """Return all tensors of a track over the folders of all ranks, none where there is no such track; and all tracks.

    The bytes that are parsed are the bytes whose digest was checked. Raises BrokenError where one differs.
    """
    tensors: dict[str, Tensor] = {}
    tracks: set[str] = set()
    for manifest, mark in _manifests(folder):
        files = files_in(manifest, read_object(manifest, mark))
        tracks |= _tracks_in(files)
        if file_of(track) in files:
            tensors |= read_safetensors(manifest.parent / file_of(track), files[file_of(track)])
    return tensors, sorted(tracks)


def read_shapes(folder: Path, track: str) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Return the shape of each tensor of a track, and all tracks, from the heads of the files alone.

    Raises BrokenError where the checkpoint cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    tracks: set[str] = set()
    for manifest, mark in _manifests(folder):
        files = files_in(manifest, read_object(manifest, mark))
        tracks |= _tracks_in(files)
        if file_of(track) in files:
            try:
                with safe_open(manifest.parent / file_of(track), framework="pt") as file:
                    shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            except (OSError, SafetensorError) as error:
                raise BrokenError(f"{manifest.parent / file_of(track)} cannot be read: {error}") from None
    return shapes, sorted(tracks)


def read_tensors(folder: Path, kind: str) -> "Iterator[tuple[str, Tensor]]":
    """Yield all tensors of a kind, one at a time, over the folders of all ranks; `faults` has checked them before."""
    for name, _ in _all_files(folder):
        if name.endswith(f"/{kind}.safetensors"):
            with safe_open(folder / name, framework="pt") as file:
                for tensor in file.keys():  # noqa: SIM118 - not a dict
                    yield tensor, file.get_tensor(tensor)


def _tracks_in(files: Iterable[str]) -> set[str]:
    stems = {file.removesuffix(".safetensors") for file in files}
    return {stem.removeprefix("ema_") for stem in stems if stem == RAW or stem.startswith("ema_")}


def _manifests(folder: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return the manifest of each rank and its mark."""
    sealed = files_in(folder / COMMIT, _commit(folder))
    manifests = [(folder / name, mark) for name, mark in sorted(sealed.items()) if Path(name).name == MANIFEST]
    if not manifests:
        raise BrokenError(f"{folder / COMMIT} lists no {MANIFEST}")
    return manifests


def _commit(folder: Path) -> dict[str, Any]:
    """Return what COMMIT says. Earlier versions wrote no seal: then the folder itself must bear out every field."""

    def is_borne_out(content: dict[str, Any]) -> bool:
        ranks = sorted(path.name for path in folder.glob("rank_*"))
        files = {STAGE, STATE, *(f"{rank}/{MANIFEST}" for rank in ranks)}
        rest = {name: value for name, value in content.items() if name != "files"}
        names_itself = isinstance(rest.pop("step", None), int) and folder == folder_of(
            folder.parents[1], content["step"]
        )
        return names_itself and rest == {"world_size": len(ranks)} and {*content.get("files", ())} == files

    return read_sealed(folder / COMMIT, unsealed=is_borne_out)


def _all_files(folder: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (name, mark) of every file that a checkpoint must have, by COMMIT and the manifests."""
    files = list(files_in(folder / COMMIT, _commit(folder)).items())
    for manifest, _ in _manifests(folder):
        inside = files_in(manifest, read_object(manifest))
        files += [(f"{manifest.parent.name}/{name}", mark) for name, mark in inside.items()]
    return files
