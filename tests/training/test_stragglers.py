"""A slow rank is named, and what time was good for is told."""

import time

import pytest

from storage.ledger import goodput, read
from training.data.loader import Loader
from training.stragglers import Straggler, slow_in

from .small_training import events


def test_a_rank_that_others_wait_for_is_named_with_its_section():
    seconds = {"data": [1.0, 1.1, 0.9, 2.0], "forward": [0.2, 0.2, 0.2, 0.6]}
    expected = [Straggler(3, "data", 2.0, 1.0), Straggler(3, "forward", 0.6, 0.2)]
    assert slow_in(seconds, total_s=3.0) == expected
    assert slow_in(seconds, total_s=9.0) == expected[:1]  # too little of all the time
    assert slow_in({"data": [1.0, 1.4], "forward": [0.2, 0.1]}, total_s=1.5) == [Straggler(0, "forward", 0.2, 0.1)]
    assert slow_in({"data": [5.0], "forward": [1.0]}, total_s=6.0) == []


@pytest.mark.parametrize("stopped", [False, True])
def test_goodput_counts_steps_that_hold_over_all_that_was_paid(run, monkeypatch, stopped):
    batch = Loader.batch

    def slow(self, positions):
        time.sleep(0.1)
        return batch(self, positions)

    monkeypatch.setattr(Loader, "batch", slow)
    if stopped:
        run("mine", "steps=4", "checkpoint.every_steps=3")
    folder, _ = run("mine")
    good = goodput(folder)
    steps = events(folder, "step")
    assert good.useful_s == pytest.approx(sum(line["data_s"] + line["compute_s"] for line in steps), abs=0.01)
    assert good.useful_s >= 0.6 and good.restarts == int(stopped) and 0 < good.share < 1
    starts = [line for line in read(folder) if line["event"] in ("start", "restart")]
    assert all(line["setup_s"] > 0 for line in starts)
    assert good.paid_s >= read(folder)[-1]["time"] - starts[-1]["time"]
    assert not events(folder, "straggler")  # alone there is nobody to wait for
