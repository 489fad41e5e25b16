import pytest

from pipeline.config import PipelineConfig

from .small_quickstart import piped


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """A small quickstart after `corgi index`. Tests read it and change nothing."""
    return piped(tmp_path_factory.mktemp("small") / "run", workers=2)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """The whole quickstart after `corgi index`: minutes of work. Tests read it and change nothing."""
    return piped(tmp_path_factory.mktemp("whole") / "run", pairs=None, workers=2)
