"""Commands in errors can be pasted: they name the run, or the YAML that it begins with."""

import re
from pathlib import Path

import pytest

from configs import UserError
from storage.plan import shards_of
from storage.run import CONFIG
from storage.scores import names
from storage.shard import Shard
from storage.typed import typed, typed_training, typed_whole


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose name a shell would take apart."""
    (tmp_path / "my run/000").mkdir(parents=True)
    return tmp_path / "my run"


def test_a_run_is_named_by_its_folder_wherever_in_it_the_file_lies(run: Path):
    (run / CONFIG).write_text("run: /somewhere/else\n")  # it was moved since
    for path in (run, run / "index.parquet", Shard(run, 3).path(".tar")):
        assert typed(path, "score", "select") == f"corgi score '{run}' && corgi select '{run}'"
    with pytest.raises(UserError, match=f"run \"corgi score '{run}'\" first"):
        names(Shard(run, 0))


def test_before_anything_is_made_it_is_named_by_the_yaml_that_init_wrote(run: Path):
    (run / "pipeline.yaml").write_text(f"run: {run}\n")
    with pytest.raises(UserError, match=f"run \"corgi plan '{run}/pipeline.yaml'\" first"):
        shards_of(run)
    (run / "pipeline.yaml").write_text("run: elsewhere\n")  # of another run, which happens to lie here
    assert typed(run, "index") == typed(run / "index.parquet", "index") == "corgi index PIPELINE.yaml"


@pytest.mark.parametrize("config", [CONFIG, "pipeline.yaml"])
def test_a_run_that_adopts_is_not_sent_to_a_download(run: Path, config: str):
    (run / config).write_text(f"{{run: '{run}', adopt: {{source: [pictures]}}}}\n")
    steps = ("plan", "download", "adopt", "score")
    assert [typed(run, step).split()[1] for step in steps] == ["adopt", "adopt", "adopt", "score"]
    (run / config).write_text(f"{{run: '{run}', adopt: {{source: []}}}}\n")
    assert [typed(run, step).split()[1] for step in steps] == ["plan", "download", "plan", "score"]


def test_a_config_that_cannot_be_read_hides_no_error(run: Path):
    (run / CONFIG).write_text("{")
    assert typed(run, "score") == f"corgi score '{run}'"


def test_a_training_is_named_by_what_it_was_begun_with_or_by_the_yaml_in_its_run(run: Path):
    folder = run / "train/base16"
    assert typed_training(folder) == "corgi train STAGE.yaml"
    (run / "base16.yaml").touch()
    assert typed_training(folder) == f"corgi train '{run}/base16.yaml'"
    folder.mkdir(parents=True)
    (folder / CONFIG).touch()
    assert typed_training(folder) == f"corgi train '{folder}/config.yaml'"


def test_what_trains_all_stages_is_named_where_their_configs_lie_together(run: Path):
    assert typed_whole(run) == "corgi train STAGE.yaml"
    (run / "pipeline.yaml").touch()
    assert typed_whole(run) == f"corgi run '{run}'"


def test_no_error_names_a_command_without_what_it_is_to_be_called_with():
    root = Path(typed.__code__.co_filename).parents[1]
    folders = (path.parent for path in root.glob("*/__init__.py") if path.parent.name not in ("tests", "benchmarks"))
    files = [file for folder in folders for file in folder.rglob("*.py")]
    bare = [file for file in files if re.search(r'run "corgi [a-z]+"', file.read_text(encoding="utf-8"))]
    assert len(files) > 200 and not bare
