"""Several trainings in one test process: the libraries below keep one per process, and are told to forget it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.factory import make_run
from training.trainer import Trainer

from .small_training import config_of, values_of, write_config


def forget() -> None:
    """Leave accelerate and DeepSpeed as if no training had been in this process."""
    from accelerate.state import AcceleratorState
    from deepspeed.comm import comm
    from deepspeed.utils import groups

    AcceleratorState._reset_state(reset_partial_state=True)
    comm.cdb = None
    groups._WORLD_GROUP = None


def train_afresh(config_file: Path, overrides: Sequence[str] = (), *, accepts_new_data: bool = False) -> int:
    """Call `launcher.train`, any number of times in a process."""
    from training.launcher import train

    try:
        return train(config_file, overrides, accepts_new_data=accepts_new_data)
    finally:
        forget()


@pytest.fixture
def train():
    """Hand `train_afresh` to a test."""
    return train_afresh


@pytest.fixture
def index(tmp_path):
    """Make a pipeline's run; return its index."""
    return make_run(tmp_path / "data")


@pytest.fixture
def run(tmp_path, index, train):
    """Train under a name with these values; return (run folder, exit code)."""

    def trained(name, *overrides, **further):
        folder = tmp_path / name
        file = write_config(tmp_path / "configs" / name, values_of(folder, index, **further))
        return folder, train(file, overrides)

    return trained


@pytest.fixture
def keys_seen(monkeypatch):
    """Note the keys that each step really trains on, by the step's number."""
    seen: dict[int, list[str]] = {}
    step = Trainer.step

    def noted(self, batches):
        micro_batches = next(batches)
        seen[self.state.step + 1] = [key for batch in micro_batches for key in batch.keys]
        step(self, iter([micro_batches]))

    monkeypatch.setattr(Trainer, "step", noted)
    return seen


@pytest.fixture
def trained(tmp_path, index, train, monkeypatch):
    """Train seven steps within a pipeline's run; return the config, and the keys that each step really saw."""
    seen = []
    step = Trainer.step

    def noted(self, batches):
        micro_batches = next(batches)
        seen.append([key for batch in micro_batches for key in batch.keys])
        step(self, iter([micro_batches]))

    monkeypatch.setattr(Trainer, "step", noted)
    folder = index.parent / "train/base16"
    assert train(write_config(tmp_path / "configs", values_of(folder, index, steps=7))) == 0
    return config_of(folder, index, steps=7), seen


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny nets gain nothing from more, and the children of tests have one too: equal sums need equal threads."""
    import torch

    torch.set_num_threads(1)
