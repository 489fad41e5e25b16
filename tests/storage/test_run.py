"""What lies at the top of a run: the config first, and of a training what it was begun with."""

from configs import Config, load
from storage.run import CONFIG, code_commit, index_of, trainings_of, write_config, write_training


class Small(Config):
    steps: int = 3


def test_a_config_introduces_itself_and_can_be_loaded_again(tmp_path):
    write_config(tmp_path, Small(steps=4), fingerprint="abc")
    head = (tmp_path / CONFIG).read_text().splitlines()[0]
    assert head == f"# fingerprint abc, commit {code_commit() or 'unknown'}"
    assert load(Small, tmp_path / CONFIG) == Small(steps=4)


def test_trainings_lie_below_a_pipelines_run_or_are_the_run(tmp_path):
    assert trainings_of(tmp_path) == [] and index_of(tmp_path) is None
    for name in ("sr64", "base16"):
        write_training(tmp_path / "train" / name, fingerprint="abc", index=f"index of {name}")
    (tmp_path / "train/not_begun").mkdir()
    base, sr = tmp_path / "train/base16", tmp_path / "train/sr64"
    assert trainings_of(tmp_path) == [base, sr] and trainings_of(base) == [base]
    assert index_of(base) == "index of base16"
