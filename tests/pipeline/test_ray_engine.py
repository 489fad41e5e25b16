"""`engine: ray`: the same bytes, causes and exit codes as a pool of processes here, by a real Ray."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs import UserError
from pipeline.ray_engine import RayPool
from pipeline.runner import run_shards, run_step
from tests.factory import downloaded, through

from .test_runner import Double, shards

has_ray = importlib.util.find_spec("ray") is not None
ROOT = Path(__file__).parents[2]
real = [pytest.mark.long, pytest.mark.skipif(not has_ray, reason="Ray is not installed: pip install 'corgi-t2i[ray]'")]


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A Ray of two workers, which find our code and the tests' steps."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
class TestRay:
    pytestmark = real

    def test_bytes_are_those_of_processes_here(self, tmp_path: Path, ray: None):
        rows = [{"seed": n, "caption": f"picture number {n}"} for n in range(12)]
        here, there = (downloaded(tmp_path / name, rows, shard_size=4) for name in ("here", "there"))
        for config in (here, there):
            through(config, "score", "dedup")
        run_step("select", here, workers=1)
        outcome = run_step("select", there.model_copy(update={"engine": "ray"}), workers=2)
        assert outcome.done == 3 and outcome.counts == {"kept": 12}
        made = {file.name: file.read_bytes() for file in here.run.glob("0*/*.keep.parquet")}
        assert made == {file.name: file.read_bytes() for file in there.run.glob("0*/*.keep.parquet")}

    @pytest.mark.parametrize("how", ["raise", "die"])
    def test_a_shard_that_fails_is_named_and_the_others_go_on(self, tmp_path: Path, ray: None, how: str):
        outcome = run_shards(Double(break_on=(1,), how=how), shards(tmp_path, 4), workers=2, pool=RayPool)
        assert outcome.done == 3 and [*outcome.failed] == [1]
        assert outcome.failed[1].startswith(
            "RuntimeError: this one is broken" if how == "raise" else "BrokenProcessPool"
        )


def test_without_ray_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'corgi-t2i\[ray\]'"):
        run_shards(Double(), shards(tmp_path, 1), pool=RayPool)
