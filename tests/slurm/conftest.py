"""A chain to render, and a real cluster for the tests that ask for one."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.config import ChainConfig

from . import cluster as real


@pytest.fixture(scope="session")
def cluster() -> Iterator[real.Cluster]:
    if lacking := real.missing():
        pytest.skip(f"no SLURM on this machine ({', '.join(lacking)}); .ci/install brings it")
    # a short path: sockets have at most 108 characters, and pytest's folders are long
    with tempfile.TemporaryDirectory(prefix="corgi-slurm-") as folder, real.running(Path(folder)) as running:
        yield running


@pytest.fixture
def at_cluster(monkeypatch, cluster):
    """The environment of the cluster's user."""
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield
    try:
        cluster.wait_until_empty()
    finally:  # what a failed test has left does not fail the next one
        cluster.run("scancel", f"--user={os.getuid()}", check=False)


@pytest.fixture
def chain() -> ChainConfig:
    return ChainConfig.model_validate(
        {
            "pipeline": "runs/q/pipeline.yaml",
            "train": ["runs/q/base16.yaml", "runs/q/sr64.yaml"],
            "run": "runs/q",
            "slurm": {
                "arrays": "asked",
                "partition": "cpu",
                "cpus": 2,
                "env": {"WHO": "all of them"},
                "setup": ["module load python"],
                "download": {"tasks": 64, "at_once": 8, "cpus": 16, "time_min": 90, "env": {"LIMIT": "5"}},
                "embed": {"tasks": 4, "partition": "gpu", "gpus_per_node": 1, "workers": 1, "sbatch": ["--exclusive"]},
                "train": {
                    "nodes": 4,
                    "gpus_per_node": 8,
                    "partition": "gpu",
                    "mem_gb": 0.5,
                    "overrides": ["micro_batch=2"],
                },
                "stages": {
                    "base16": {"nodes": 16, "processes_per_node": 2, "setup": ["ulimit -c 0"], "overrides": ["seed=7"]}
                },
            },
        }
    )
