"""The GPUs of a task are shared out between its workers; there is none here, so what they see is looked at."""

import os
from contextlib import closing
from multiprocessing import current_process

import pytest

from pipeline.devices import VISIBLE, claim_gpu
from pipeline.workers import Wire


def what_is_seen() -> str:
    return os.environ[VISIBLE]


@pytest.mark.parametrize(
    ("visible", "name", "seen"),
    [
        ("2,5", "SpawnProcess-1", "2"),
        ("2,5", "SpawnProcess-2", "5"),
        ("GPU-a,GPU-b", "SpawnProcess-7", "GPU-a"),  # the pool was begun anew; numbers go on
        ("3", "SpawnProcess-2", "3"),
        ("", "SpawnProcess-2", ""),
        ("0,1", "MainProcess", "0,1"),
    ],
)
def test_workers_take_turns(monkeypatch, visible, name, seen):
    monkeypatch.setenv(VISIBLE, visible)
    monkeypatch.setattr(current_process(), "name", name)
    claim_gpu()
    assert os.environ[VISIBLE] == seen


@pytest.mark.long
def test_the_workers_of_a_step_see_one_gpu_each(monkeypatch):
    monkeypatch.setenv(VISIBLE, "0,1")
    with closing(Wire()) as wire, wire.pool(2, spread=1) as pool:
        shares = [pool.submit(what_is_seen), pool.submit(what_is_seen)]
        assert {share.result() for share in shares} <= {"0", "1"}
