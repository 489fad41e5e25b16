"""Reads that fail, and text that is not what the index counted: agreed by all, kept, or refused in a line."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from configs import UserError
from storage.atomic import read_json
from storage.checkpoint import committed
from storage.shard import TAR, Shard
from storage.text_embeds import suffix
from tests.factory import ENCODER
from training.data import shard_rows

from .small_training import events, losses


class Disk:
    """Lets `os.pread` of tars fail so many times."""

    def __init__(self, failures: int) -> None:
        self.left, self.failed, self._pread = failures, 0, os.pread

    def __call__(self, descriptor: int, size: int, offset: int) -> bytes:
        if self.left and Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".tar":
            self.left -= 1
            self.failed += 1
            raise OSError(errno.EIO, "Input/output error")
        return self._pread(descriptor, size, offset)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(shard_rows, "PAUSES_S", (0.0, 0.0, 0.0))


def test_a_read_that_fails_for_a_moment_costs_nothing(run, monkeypatch):
    whole, _ = run("whole")
    disk = Disk(3)
    monkeypatch.setattr(os, "pread", disk)
    folder, code = run("mine")
    assert code == 0 and disk.failed == 3 and losses(folder) == losses(whole) and not events(folder, "bad_image")


def test_a_restart_trains_on_the_same_samples_as_the_training_that_could_not_read(run, index, keys_seen, monkeypatch):
    monkeypatch.setattr(os, "pread", Disk(4))  # one read, and all that were tried instead of it
    data = {"index": str(index), "window_shards": 2, "workers": 0, "cache_mib": 0}
    unbroken, _ = run("unbroken", steps=9, data=data)
    expected = dict(keys_seen)
    (bad,) = {(line["shard"], line["key"]) for line in events(unbroken, "bad_image")}
    assert [(line["step"] - 1) // 3 for line in events(unbroken, "bad_image")] == [0, 1, 2]  # once an epoch
    assert read_json(committed(unbroken)[0] / "state.json")["bad_images"] == [list(bad)]
    keys_seen.clear()
    monkeypatch.setattr(os, "pread", Disk(4))
    run("broken", "steps=3", steps=9, data=data)
    broken, _ = run("broken", steps=9, data=data)  # here all can be read again
    assert keys_seen == expected and losses(broken) == losses(unbroken)
    assert {(line["shard"], line["key"]) for line in events(broken, "bad_image")} == {bad}


def test_what_stood_in_and_could_not_be_read_either_is_kept_too(run, index):
    Shard(index.parent, 0).path(TAR).unlink()
    folder, _ = run("mine")
    kept = {tuple(image) for image in read_json(committed(folder)[0] / "state.json")["bad_images"]}
    lines = events(folder, "bad_image")
    assert kept == {tuple(image) for line in lines for image in [[line["shard"], line["key"]], *line["also"]]}
    assert len(kept) == 8 and {number for number, _ in kept} == {0}


@pytest.mark.parametrize("when", ["before", "while"])
def test_text_embeds_that_are_not_those_of_the_index_are_refused(run, index, tmp_path, monkeypatch, when):
    ours, theirs = (Shard(index.parent, number).path(suffix(ENCODER)) for number in (1, 2))
    if when == "while":
        monkeypatch.setattr("training.data.index.LOOKED_AT", 1)  # as if there were very many shards
    shutil.copy(theirs, ours)
    with pytest.raises(UserError, match=rf'{ours} holds other text embeds than the index; run "corgi embed '):
        run("mine")
    assert (tmp_path / "mine").exists() == (when == "while")
