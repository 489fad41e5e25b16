"""Stages, a demo and its bundle: each made once, and copied by who changes it."""

from pathlib import Path

import pytest

from . import small_demo


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_demo.stages(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="session")
def demo(stages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo of which every picture is approved but one that is rejected and one that nobody saw."""
    folder = small_demo.compiled(stages, tmp_path_factory.mktemp("demo") / "demo", pictures=2)
    small_demo.approve(folder, but=["an emoji of a pear, food"])
    return folder


@pytest.fixture(scope="session")
def site(demo: Path) -> Path:
    return small_demo.bundled(demo, demo.parent / "site")
