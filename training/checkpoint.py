"""What a checkpoint holds of a training, and how it comes back: any world size and any ZeRO setting can load it.

The format is storage.checkpoint's. Each rank writes the tensors of its share of names, and all of them load all.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from configs import UserError, absolute
from storage.atomic import read_json, sha256_file
from storage.checkpoint import (
    COMMIT,
    STATE,
    committed,
    faults,
    file_of,
    folder_of,
    read_tensors,
    remove,
    seal,
    write_share,
)

from . import optimizer_state
from .config import TrainConfig
from .distributed import Ranks, all_gather, barrier
from .ema import Ema
from .engine import Engine
from .state import TrainState
from .vital_signs import beat


class NotSavedError(Exception):
    """A checkpoint could not be written; says why in a line, the same on every rank."""


def save(config: TrainConfig, engine: Engine, ema: Ema, state: TrainState) -> Path:
    """Write and commit a checkpoint; all ranks call. A kill at any moment leaves the one before it whole.

    Raises NotSavedError on all ranks where one of them could not write; nothing is left of it then.
    """
    ranks, folder = engine.ranks, folder_of(config.run, state.step)
    _agreed(lambda: remove(folder), ranks=ranks, only_main=True)  # what a killed save left behind
    shares = _share(engine, ema)
    try:
        _agreed(lambda: write_share(folder, ranks.rank, shares), ranks=ranks, at_last=lambda: [*shares])
        _agreed(lambda: _seal(config, folder, state, world_size=ranks.world_size), ranks=ranks, only_main=True)
    except NotSavedError:
        if ranks.is_main:
            with suppress(OSError):
                remove(folder)
        barrier(ranks)
        raise
    if ranks.is_main:
        for old in committed(config.run)[config.checkpoint.keep :]:
            with suppress(OSError):  # there is room for one more, or the next save tells of it
                remove(old)
    barrier(ranks)
    return folder


def _seal(config: TrainConfig, folder: Path, state: TrainState, *, world_size: int) -> None:
    stage = {
        "stage": config.stage.model_dump(mode="json"),
        "text": absolute(config.text.encoder).model_dump(mode="json"),
        "max_tokens": config.text.max_tokens,
    }
    seal(folder, step=state.step, world_size=world_size, stage=stage, state=state.model_dump(mode="json"))


def _agreed(
    write: Callable[[], object], *, ranks: Ranks, only_main: bool = False, at_last: Callable[[], object] | None = None
) -> None:
    """Write on all ranks, or on the main one. Raises NotSavedError on all where it failed on one.

    at_last: what a rank that failed does in step with the others, who still gather tensors.
    """
    wrong = ""
    try:
        if ranks.is_main or not only_main:
            write()
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        wrong = " ".join(f"rank {ranks.rank}: {reason}".split())
        if at_last:
            at_last()
    said = [line for line in all_gather(wrong, ranks=ranks) if line]
    if said:
        raise NotSavedError(said[0])


def load(config: TrainConfig, engine: Engine, ema: Ema) -> tuple[TrainState, list[str]]:
    """Put the newest whole checkpoint into engine and ema; all ranks call.

    Returns its state (a fresh one where there is none) and a line for each fault of those that were passed over.
    Raises UserError where there are checkpoints and none is whole.
    """
    folder, passed_over = newest(config.run, ranks=engine.ranks)
    if folder is None:
        if passed_over:
            raise UserError(f"no checkpoint of {config.run} is whole: {'; '.join(passed_over)}", exit_code=1)
        return TrainState(), []
    state = TrainState.model_validate(read_json(folder / STATE))
    for kind in optimizer_state.KINDS:
        for name, tensor in read_tensors(folder, kind):
            optimizer_state.write(engine, name, kind, tensor)
            beat()
    for track, averages in ema.averages.items():
        ema.start(track)  # one that is new begins with the weights as they are
        for name, tensor in read_tensors(folder, _ema(track)):
            if name in averages:
                averages[name].copy_(tensor)
    optimizer_state.set_updates(engine, state.updates)
    return state, passed_over


def load_initial(config: TrainConfig, engine: Engine, ema: Ema) -> dict[str, Any]:
    """Put the weights of `config.init_from` into engine and every track; return what they are. All ranks call.

    Raises UserError where it has no whole checkpoint; `run_folder.check` has looked whether its weights fit.
    """
    assert config.init_from is not None
    folder, passed_over = newest(config.init_from, ranks=engine.ranks)
    if folder is None:
        raise UserError(
            f"init_from: no checkpoint of {config.init_from} is whole: {'; '.join(passed_over)}", exit_code=1
        )
    for name, tensor in read_tensors(folder, Path(file_of(config.init_track)).stem):
        optimizer_state.write(engine, name, "params", tensor)
    for track in ema.averages:
        ema.start(track)
    return {"folder": str(folder), "track": config.init_track, "sha256": sha256_file(folder / COMMIT)}


def newest(run: Path, *, ranks: Ranks) -> tuple[Path | None, list[str]]:
    """Return the newest whole checkpoint, and why newer ones were passed over. The ranks share the reading of bytes."""
    passed_over: list[str] = []
    for folder in committed(run):
        ours = faults(folder, part=slice(ranks.rank, None, ranks.world_size))
        wrong = [line for lines in all_gather(ours, ranks=ranks) for line in lines]
        if not wrong:
            return folder, passed_over
        passed_over += wrong
    return None, passed_over


def _share(engine: Engine, ema: Ema) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield (kind, name -> tensor) of this rank's names."""
    own = set(engine.share)
    for kind in optimizer_state.KINDS:
        tensors = {}
        for name in engine.params:  # all ranks ask for all names: reading may be a collective
            tensor = optimizer_state.read(engine, name, kind)
            beat()
            if name in own:
                tensors[name] = tensor.float().cpu().contiguous()
        yield kind, tensors
        tensors.clear()  # the caller still has it in hand while the next is gathered
    for track, averages in ema.averages.items():
        yield _ema(track), {name: tensor.cpu() for name, tensor in averages.items()}


def _ema(track: str) -> str:
    return Path(file_of(track)).stem
