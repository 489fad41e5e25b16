"""Several trainings in one test process: the libraries below keep one per process, and are told to forget it."""

from collections.abc import Sequence
from pathlib import Path

import pytest


def forget() -> None:
    """accelerate and DeepSpeed as if no training had been in this process."""
    from accelerate.state import AcceleratorState
    from deepspeed.comm import comm
    from deepspeed.utils import groups

    AcceleratorState._reset_state(reset_partial_state=True)
    comm.cdb = None
    groups._WORLD_GROUP = None


def train_afresh(config_file: Path, overrides: Sequence[str] = ()) -> int:
    """`launch.train`, any number of times in a process."""
    from training.launch import train

    try:
        return train(config_file, overrides)
    finally:
        forget()


@pytest.fixture
def train():
    """The same as a fixture."""
    return train_afresh


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny nets gain nothing from more, and the children of tests have one too: equal sums need equal threads."""
    import torch

    torch.set_num_threads(1)
