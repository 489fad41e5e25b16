"""Trainings in processes of their own, which can be killed: forked in no time, or started by the launcher."""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from storage.ledger import read_training

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.preloaded"])
WAIT_S = 240


def fork(config_file: Path, *, before: Callable[[], None] | None = None) -> ForkServerProcess:
    """Start a training in one process, with the environment of now. before: called in it, to break something."""
    process = CONTEXT.Process(target=_train, args=(config_file, before, dict(os.environ)))
    process.start()
    return process


def exit_code_of(process: ForkServerProcess) -> int | None:
    """Wait for the end of a process; return its exit code, minus the signal where one ended it."""
    process.join(WAIT_S)
    return process.exitcode


def wait_for_step(run: Path, step: int, *, is_alive: Callable[[], bool]) -> None:
    """Return once the ledger tells of this step."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and is_alive():
        if any(line["event"] == "step" and line["step"] >= step for line in read_training(run)):
            return
        time.sleep(0.05)
    raise AssertionError(f"step {step} never came")


def _train(config_file: Path, before: Callable[[], None] | None, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the server of forks has that of its start
    import torch

    from training.launcher import leave, train

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    if before:
        before()
    leave(train(config_file))
