"""Stages, a demo and its bundle: each made once, and copied by who changes it."""

from pathlib import Path

import pytest
import torch

from . import small_demo


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """As the step's own processes have: two threads on such small pictures wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_demo.stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="session")
def demo(stages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo of which every picture is approved but those of one sentence, which are rejected."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    small_demo.compiled(stages, folder, pictures=2)
    small_demo.approve(folder, but=["an emoji of a pear, food"])
    return folder


@pytest.fixture(scope="session")
def site(demo: Path) -> Path:
    return small_demo.bundled(demo, demo.parent / "site")
