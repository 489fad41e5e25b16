"""A run folder holds one training, of this version of the code, and one process at a time."""

import pytest
import yaml

from configs import UserError
from storage.checkpoint import committed
from storage.run import CONFIG
from tests.factory import make_run
from training.run_folder import lock, read_config

from .small_training import values_of


def test_it_says_what_was_asked(run):
    folder, _ = run("mine", "steps=1")
    head = (folder / CONFIG).read_text().splitlines()[0]
    assert head.startswith("# fingerprint ") and ", commit " in head
    fingerprint = head.removeprefix("# fingerprint ").partition(",")[0]
    assert fingerprint in (committed(folder)[0] / "state.json").read_text()


def test_another_config_in_the_same_folder_is_refused(run, index):
    run("mine", "steps=1")
    with pytest.raises(UserError, match=r"holds another training: optim.lr was 0.002, now 0.1; seed was 7, now 8"):
        run("mine", "optim.lr=0.1", "seed=8")
    run("mine", "steps=2", "micro_batch=4", "data.workers=1")
    with pytest.raises(UserError, match=r"steps may grow, not shrink to 1"):
        run("mine", "steps=1")
    make_run(index.parent, pairs=18)
    with pytest.raises(UserError, match=r"has changed since .* began"):
        run("mine")


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
