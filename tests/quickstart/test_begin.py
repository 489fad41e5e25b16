"""`corgi init --quickstart FOLDER`, then `corgi run` of it or of its pipeline: its small web is served for it."""

import socket
from pathlib import Path

import pytest

from configs import UserError, load
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from project.check import problems_of
from project.files import project_of
from quickstart.run import begin, web_beside
from training.config import TrainConfig


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.long
@pytest.mark.parametrize("named", ["", "pipeline.yaml"])
def test_a_folder_is_begun_and_finds_its_web(tmp_path: Path, named: str):
    begin(tmp_path / "mine", minutes=0, pairs=12, port=free_port())
    project = project_of(tmp_path / "mine")
    assert [file.name for file in project.files] == [
        *("pipeline.yaml", "base16.yaml", "sr64.yaml", "sr256.yaml", "evaluate.yaml", "chain.yaml"),
    ]
    assert problems_of(project) == []
    assert {load(TrainConfig, file).steps for file in project.stages} == {1}
    config = load(PipelineConfig, tmp_path / "mine/pipeline.yaml")
    run_step("plan", config)
    with web_beside(tmp_path / "mine" / named)("download"):
        counts = run_step("download", config, workers=1).counts
    assert counts["ok"] >= 12 and counts["http_404"] > 0, counts
    with pytest.raises(UserError, match=r"holds pipeline\.yaml, .* already; nothing is overwritten"):
        begin(tmp_path / "mine", minutes=0)
