"""The steps that saw a pair are not logged: they are computed, and are those that really saw it."""

import re

from tests.factory import draw, make_run
from training.why import line_of, steps_of_pair


def test_the_steps_of_a_pair_are_those_that_saw_it(trained):
    config, seen = trained
    several = []
    for number in range(36):
        key = draw(number).key
        expected = [step for step, keys in enumerate(seen, 1) if key in keys]
        is_trained_on = not (number % 6 == 5 or number % 5 == 4)
        assert steps_of_pair(config, key, shard=number // 12) == (expected if is_trained_on else None)
        several += [line_of(config, key, shard=number // 12)] if len(expected) > 1 else []
    assert several and all(
        re.fullmatch(r"base16    seen \d times in 7 steps, at step \d(, \d)+", line) for line in several
    )
    assert "not trained on: held out" in line_of(config, draw(4).key, shard=0)


def test_steps_are_not_told_of_another_index_than_the_one_trained_on(trained):
    config, _ = trained
    assert "base16    seen" in line_of(config, draw(0).key, shard=0)
    make_run(config.data.index.parent, pairs=18)
    line = line_of(config, draw(0).key, shard=0)
    assert line == "base16    its steps cannot be told: it was trained on another index than there is now"
    config.data.index.unlink()
    assert 'run "corgi index ' in line_of(config, draw(0).key, shard=0)
