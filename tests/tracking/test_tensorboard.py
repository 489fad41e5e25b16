"""TensorBoard's file, as TensorBoard reads it: each step once, the file only grows, and a torn one is mended."""

from pathlib import Path

import pytest

from storage import ledger
from tests.training.conftest import index, run, train  # noqa: F401  # fixtures
from tracking.sync import sync

from .test_wandb_files import LOOKS, hostile  # noqa: F401  # fixture


def synced(folder: Path) -> bytes:
    assert all(told.is_complete for told in sync(folder, to="tensorboard", offline=False))
    return (folder / "tensorboard" / "events.out.tfevents.0.corgi").read_bytes()


def reading(folder: Path):
    """Return what TensorBoard knows of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


def test_a_training_is_read_back(run):  # noqa: F811
    folder, _ = run("mine", validation=LOOKS)
    first = synced(folder)
    run("mine", "steps=8", validation=LOOKS)
    whole = synced(folder)
    assert whole.startswith(first) and synced(folder) == whole
    seen = reading(folder / "tensorboard")
    lines = {line["step"]: line for line in ledger.read(folder) if line["event"] == "step"}
    shown = [(event.step, event.value, event.wall_time) for event in seen.Scalars("step/loss")]
    assert [step for step, _, _ in shown] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert shown == [(step, pytest.approx(lines[step]["loss"]), lines[step]["time"]) for step in lines]
    assert [event.step for event in seen.Images("grid")] == [3, 6, 8]
    assert (seen.Images("grid")[0].width, seen.Images("grid")[0].height) == (64, 16)


def test_a_torn_file_is_mended(run):  # noqa: F811
    folder, _ = run("mine")
    whole = synced(folder)
    file = folder / "tensorboard" / "events.out.tfevents.0.corgi"
    for torn in (whole[: len(whole) // 2], whole[:-1], b"", b"not ours"):
        file.write_bytes(torn)
        assert synced(folder) == whole


def test_a_step_of_the_pipeline_is_read_back(hostile):  # noqa: F811
    (told,) = sync(hostile.run, to="tensorboard", offline=False)
    assert told.is_complete
    (event,) = reading(hostile.run / "tensorboard" / "select").Scalars("share_kept")
    assert event.value == 0.25
