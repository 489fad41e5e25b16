"""One function tells all that is wrong with a folder of configs, a line each; a refused command touches nothing."""

import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from configs import UserError
from corgi import app
from project.check import problems_of
from project.files import project_of
from project.init import init
from project.run import Whole
from training.launcher import train

from .drawn import draw_pictures


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    draw_pictures(folder / "pictures", 40)
    list(init(folder / "mine", str(folder / "pictures"), steps=2))
    return folder / "mine"


@pytest.fixture
def mine(fresh: Path, tmp_path: Path) -> Path:
    """Configs of one's own, each test its own."""
    shutil.copytree(fresh, tmp_path / "mine")
    for file in (tmp_path / "mine").glob("*.yaml"):
        file.write_text(file.read_text().replace(str(fresh), str(tmp_path / "mine")))
    return tmp_path / "mine"


def edited(mine: Path, file: str, before: str, after: str) -> list[str]:
    text = (mine / file).read_text()
    assert before in text
    (mine / file).write_text(text.replace(before, after, 1))
    return [str(problem) for problem in problems_of(project_of(mine))]


CASES = {
    "misspelt key": ("base16.yaml", "micro_batch:", "micro_batsch:", "did you mean 'micro_batch'?"),
    "wrong type": ("sr64.yaml", "steps: 2 ", "steps: two ", "steps: Input should be a valid integer"),
    "wrong column": ("pipeline.yaml", "min_side >= 64", "min_sidee >= 64", "did you mean 'min_side'?"),
    "wrong path": ("pipeline.yaml", "/pictures ", "/pictured ", "pictured is not there"),
    "batch": ("base16.yaml", "batch: 32", "batch: 30", "micro_batch 32 must divide batch 30"),
    "missing encoder": ("pipeline.yaml", "encoder: minilm", "encoder: nobody", "make them equal"),
    "text width": ("base16.yaml", "text_width: 384", "text_width: 512", "say text_width: 384"),
    "nodes": ("chain.yaml", "nodes: 1", "nodes: 3", "is not a multiple of micro_batch 32 x 3 processes"),
    "chain's run": ("chain.yaml", "run: ", "run: /elsewhere", "but the pipeline's is"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_a_line_with_a_file_and_a_remedy(mine: Path, name: str):
    file, before, after, said = CASES[name]
    problems = edited(mine, file, before, after)
    assert any(said in problem and str(mine) in problem for problem in problems), problems
    assert not any("\n" in problem for problem in problems)


def test_a_rule_that_keeps_nothing_is_told_and_is_no_problem(mine: Path):
    assert not edited(mine, "pipeline.yaml", "min_side >= 64", "min_side >= 64 and fetched_bytes >= 5000")
    told = CliRunner().invoke(app, ["check", str(mine)])
    assert told.exit_code == 0 and "nothing is wrong with" in told.stdout
    assert "decides nothing by fetched_bytes: it is NULL of images that are adopted" in told.stderr


def test_all_problems_are_told_at_once_and_nothing_is_begun(mine: Path):
    edited(mine, "base16.yaml", "micro_batch:", "micro_batsch:")
    edited(mine, "pipeline.yaml", "min_side >= 64", "min_sidee >= 64")
    before = sorted(mine.rglob("*"))
    with pytest.raises(UserError) as caught:
        Whole(project_of(mine), typed="corgi run mine").go()
    assert len(caught.value.lines) >= 2 and caught.value.exit_code == 2
    assert sorted(mine.rglob("*")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_here_is_told_here_and_not_for_a_cluster(mine: Path):
    said = edited(mine, "pipeline.yaml", "  nsfw: null", "  nsfw: {device: cuda}")
    assert [problem for problem in said if "no GPU here" in problem]
    assert problems_of(project_of(mine / "chain.yaml"), on_cluster=True) == []


def test_two_trainings_do_not_share_a_folder(mine: Path):
    said = edited(mine, "sr64.yaml", "train/sr64", "train/base16")
    assert [problem for problem in said if "a folder of its own" in problem]


def test_a_folder_that_holds_no_config_or_two_pipelines_is_one_line(mine: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="corgi init"):
        project_of(tmp_path / "empty")
    shutil.copy(mine / "pipeline.yaml", mine / "other.yaml")
    with pytest.raises(UserError, match="give the one meant"):
        project_of(mine)


@pytest.mark.parametrize("override", ["micro_batch=5", "text.mode=live", "data.column=nothing"])
def test_a_refused_training_leaves_its_folder_untouched(mine: Path, override: str):
    with pytest.raises(UserError):
        train(mine / "base16.yaml", [override])
    assert not (mine / "train").exists()
