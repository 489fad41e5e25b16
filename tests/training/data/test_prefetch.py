"""Who makes a batch, and when, changes nothing in it."""

from itertools import islice
from typing import Any, cast

import pytest

from tests.factory import make_run
from tests.training.small_training import SR, config_of
from training.data.loader import Batch
from training.data.prefetch import in_order, steps_of

from .loading import loader_of, rank, same


@pytest.mark.parametrize("stage", ["base", "sr"])
def test_same_batches_for_any_number_of_workers(tmp_path, stage):
    index = make_run(tmp_path)
    further = {"stage": SR} if stage == "sr" else {}

    def first(workers: int) -> list[Batch]:
        data = {"index": str(index), "window_shards": 2, "workers": workers}
        loader = loader_of(config_of(tmp_path / "train", index, data=data, micro_batch=4, **further))
        steps = steps_of(loader, seen=0, ranks=rank(0, 1))
        batches = [batch for step in islice(steps, 4) for batch in step]
        steps.close()
        return batches

    alone = first(0)
    for workers in (1, 3):
        assert all(same(*pair) for pair in zip(alone, first(workers), strict=True))


def test_world_size_and_restart_only_choose_who_reads_what(tmp_path):
    config = config_of(tmp_path / "train", make_run(tmp_path), micro_batch=2)
    alone = list(islice(steps_of(loader_of(config), seen=0, ranks=rank(0, 1)), 3))
    for world in (2, 4):
        steps = [steps_of(loader_of(config), seen=0, ranks=rank(number, world)) for number in range(world)]
        for expected in alone:
            dealt = [next(ours) for ours in steps]
            joined = [dealt[number % world][number // world] for number in range(len(expected))]
            assert all(same(*pair) for pair in zip(expected, joined, strict=True))
    later = next(steps_of(loader_of(config), seen=2 * config.batch, ranks=rank(0, 1)))
    assert all(same(*pair) for pair in zip(alone[2], later, strict=True))


def test_work_ahead_keeps_the_order_and_passes_errors_on():
    def make(number: Any) -> Any:
        if number == 7:
            raise ValueError("seven")
        return number

    numbers = in_order(make, iter(cast(Any, range(20))), workers=3, ahead=2)
    assert list(islice(numbers, 7)) == list(range(7))
    with pytest.raises(ValueError, match=r"seven"):
        next(numbers)
