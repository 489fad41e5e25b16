"""W&B's files hold every line of the ledgers once, with pictures, examples and lineage."""

import json
from typing import Any

import pytest

from storage import ledger
from storage.run import TRAINING, WANDB, write_config
from tests.factory import noise_image, selected
from tests.training.conftest import index, run, train  # noqa: F401  # fixtures
from tracking.sources import run_id, sources_of
from tracking.sync import sync

from .wandb_files import history, mirrored

LOOKS = {"every_steps": 3, "samples": 4, "buckets": 4, "grid": 2, "grid_steps": 2}


def synced(folder):
    return [*sync(folder, to="wandb", offline=True)]


def note_selected(config, **counts):
    ledger.note(config.run, event="step", step="select", rank=0, made=1, seconds=2.0, counts=counts)


@pytest.fixture
def hostile(tmp_path):
    """A run after select with a kept pair, a lost one, a hateful one, and one that a scorer calls NSFW."""
    rows: list[dict[str, Any]] = [
        {"caption": "a red apple", "url": "https://me:hunter2@a.test/1.jpg?w=3&X-Amz-Signature=hunter2"},
        {"caption": "ein roter Apfel", "scores": {"language": "de"}},
        {"caption": "you are all stupid idiots", "scores": {"hate": 0.9}},
        {"caption": "someone at the beach", "scores": {"nsfw_score": 0.9}},
    ]
    config = selected(tmp_path, rows, [{"url": "http://a.test/x.jpg", "caption": "x", "reasons": ["short"]}])
    write_config(config.run, config, fingerprint="made")
    note_selected(config, kept=1, english=1, no_hate=1, safe=1)
    return config


def test_the_id_of_a_run_is_made_once(tmp_path):
    assert run_id(tmp_path) == run_id(tmp_path) == json.loads((tmp_path / WANDB).read_text())["id"]
    assert [path.name for path in tmp_path.iterdir()] == [WANDB]


@pytest.mark.long
def test_a_step_has_its_calls_and_veiled_examples(hostile):
    (told,) = synced(hostile.run)
    assert told.is_complete and "select: 1 of 1 lines to " in told.lines[0]
    found = mirrored(hostile.run)
    (row,) = [row for row in history(found) if "counts/kept" in row]
    assert (row["counts/kept"], row["share_kept"], row["_step"]) == (1, 0.25, 0)
    assert row["scores/hate/_type"] == "histogram" and sum(row["scores/hate/values"]) == 4
    (begun,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert (begun.run_group, begun.job_type, begun.run_id) == ("run", "select", f"{run_id(hostile.run)}-select")
    (funnel,) = (hostile.run / "wandb").rglob("offline-run-*/files/media/table/funnel*.json")
    assert json.loads(funnel.read_text())["data"] == [
        ["plan", "short", 1, None, None, None],
        ["select", "english", 1, 1, 1, 3],
        ["select", "no_hate", 1, 1, 1, 2],
        ["select", "safe", 1, 1, 1, 1],
    ]
    (table,) = (hostile.run / "wandb").rglob("offline-run-*/files/media/table/examples*.json")
    rows = {(row[0], row[1]): row for row in json.loads(table.read_text())["data"]}
    assert rows["kept", ""][3:5] == ["a red apple", "https://***@a.test/1.jpg?w=3&X-Amz-Signature=***"]
    assert rows["select", "english"][3] == "ein roter Apfel" and rows["select", "english"][5] is not None
    assert rows["plan", "short"][3:] == ["x", "http://a.test/x.jpg", None]
    for rule in ("no_hate", "safe"):
        assert rows["select", rule][3:] == ["(veiled)", "(veiled)", None]


def test_a_training_has_each_step_once_and_its_grids(run):  # noqa: F811
    folder, _ = run("mine", validation=LOOKS)
    first = synced(folder)
    run("mine", "steps=7", validation=LOOKS)
    (told,) = synced(folder)
    assert first[0].is_complete and told.is_complete
    found = mirrored(folder)
    rows = [row for row in history(found) if "step/loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    lines = [line for line in ledger.read(folder) if line["event"] == "step"]
    assert [row["step/loss"] for row in rows] == [line["loss"] for line in lines]
    images = [*(folder / "wandb").rglob("offline-run-*/files/media/images/*.png")]
    assert len(images) == 6  # two captions at the steps 3, 6 and 7
    assert json.loads((folder / WANDB).read_text())["id"] == run_id(folder)
    (checkpoint,) = [record.artifact for record in found if record.WhichOneof("record_type") == "artifact"]
    assert checkpoint.manifest.contents[0].ref.endswith("checkpoints/step_00000007")


def test_nothing_to_tell_is_told(tmp_path):
    (tmp_path / TRAINING).write_text("{}")
    with pytest.raises(ValueError, match="has nothing to tell yet"):
        sources_of(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        sources_of(tmp_path / "nowhere")


def test_what_lies_outside_of_the_ledger_may_be_gone(run):  # noqa: F811
    folder, _ = run("mine", validation=LOOKS)
    for grid in (folder / "grids").iterdir():
        grid.write_bytes(noise_image(1)[:50])
    (told,) = synced(folder)
    assert told.is_complete and len([row for row in history(mirrored(folder)) if "step/loss" in row]) == 6
