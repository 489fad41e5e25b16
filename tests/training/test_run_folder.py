"""A run folder holds one training, of this version of the code, and one process at a time."""

import pytest
import yaml

from configs import UserError
from storage.atomic import sha256_file
from storage.checkpoint import committed
from storage.run import CONFIG
from training.run_folder import lock, read_config
from training.trainer import Trainer

from .small_training import losses, values_of


def test_it_says_what_was_asked(run):
    folder, _ = run("mine", "steps=1")
    head = (folder / CONFIG).read_text().splitlines()[0]
    assert head.startswith("# fingerprint ") and ", commit " in head
    fingerprint = head.removeprefix("# fingerprint ").partition(",")[0]
    assert fingerprint in (committed(folder)[0] / "state.json").read_text()


def digest_of(folder):
    """Return the bytes' digest of every file in a folder."""
    return {path: sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stage.model.channels=32", "stage.model.channels was 16, now 32"),
        ("stage.image_px=32", "stage.image_px was 16, now 32"),
        ("stage.diffusion.prediction=eps", "stage.diffusion.prediction was 'v', now 'eps'"),
        ("text.encoder.max_tokens=32", "text.encoder.max_tokens was 64, now 32"),
        ("seed=8", "seed was 7, now 8"),
        ("data.window_shards=1", "data.window_shards was 2, now 1"),
    ],
)
def test_another_net_or_order_is_refused_in_a_line_and_nothing_is_touched(run, tmp_path, change, said):
    folder, _ = run("mine", "steps=1")
    before = digest_of(folder)
    live = ["text.mode=live"] if change.startswith("text") else []  # stored embeds of another encoder are refused, too
    with pytest.raises(UserError) as error:
        run("mine", change, *live)
    (line,) = str(error.value).splitlines()
    assert f"{folder} holds another training: {said}; change back, or give another run" in line
    assert f"init_from={folder}" in line
    assert digest_of(folder) == before
    with pytest.raises(UserError, match=r"is not a multiple of"):
        run("mine", "batch=8", "micro_batch=8", "processes=3")
    with pytest.raises(UserError, match=r"already; leave it out, or give another run"):
        run("mine", f"init_from={folder}")
    assert digest_of(folder) == before


def test_a_folder_without_a_checkpoint_holds_nothing(run, tmp_path, monkeypatch):
    def fails(self, batches):
        raise UserError("no")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="no"):
        patch.setattr(Trainer, "step", fails)
        run("mine")
    folder, code = run("mine", "seed=8", "stage.model.channels=32")
    assert code == 0 and len(losses(folder)) == 6
    assert losses(folder) == losses(run("fresh", "seed=8", "stage.model.channels=32")[0])


def test_a_folder_of_another_version_is_refused_in_a_line_that_says_what_to_do(run, tmp_path, index):
    values = values_of(tmp_path / "old", index)
    values["data"] = {"index": str(index), "bad_pictures": 100}  # what data.bad_images was once called
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / CONFIG).write_text(yaml.safe_dump(values))
    with pytest.raises(UserError) as error:
        run("old")
    (line,) = str(error.value).splitlines()
    assert f"{tmp_path / 'old'} was begun by another version of this code" in line
    assert "data has no field 'bad_pictures'; did you mean 'bad_images'?" in line
    assert line.endswith("finish it with that one, or give another run")
    assert read_config(tmp_path / "nowhere") is None


def test_only_one_process_works_in_it(run, tmp_path):
    with lock(tmp_path / "mine"), pytest.raises(UserError, match=r"is being trained by another process") as error:
        run("mine")
    assert error.value.exit_code == 1
    assert run("mine", "steps=1")[1] == 0
