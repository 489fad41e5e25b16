"""Which lines are told: each step once, whatever was taken again, and a longer ledger tells the same and more."""

import random

import pytest

from tracking.alerts import alerts
from tracking.told import of_step, of_training, told


def line(event, step, **what):
    return {"event": event, "step": step, "seen": step * 8, "time": 1.0 + step, **what}


KILLED = [  # at 3, after a checkpoint at 2
    *(line("start", 0), line("step", 1), line("step", 2), line("checkpoint", 2), line("step", 3)),
    *(line("restart", 2), line("step", 3), line("bad_image", 4), line("bad_image", 4), line("step", 4)),
]


def test_a_step_that_was_taken_again_is_told_once():
    lines = [(number, its["event"], its["step"]) for number, its in told(KILLED)]
    assert lines == [
        *((0, "start", 0), (1, "step", 1), (2, "step", 2), (3, "checkpoint", 2), (4, "step", 3)),
        *((5, "restart", 2), (7, "bad_image", 4), (8, "bad_image", 4), (9, "step", 4)),
    ]


def test_more_lines_tell_the_same_and_more():
    random.seed(5)
    lines = [line(random.choice(["step", "grid", "restart", "bad_step"]), random.randrange(20)) for _ in range(200)]
    whole = [*told(lines)]
    for end in range(len(lines)):
        part = [*told(lines[:end])]
        assert part == whole[: len(part)]


def test_figures_of_a_training():
    shown = of_training(line("validation", 3, held_out={"gap": [0.5, 0.25]}, folder="x"))
    assert shown == {
        **{"step": 3, "seen": 24, "validation/times": 1},
        **{"validation/held_out/gap/0": 0.5, "validation/held_out/gap/1": 0.25},
    }
    bad = of_training(line("bad_step", 4, positions=[*range(2048)], also=[[0, "key"]]))  # names of samples, no figures
    assert bad == {"step": 4, "seen": 32, "bad_step/times": 1}


def test_figures_of_a_step():
    call = {"event": "step", "step": "select", "rank": 3, "made": 2, "seconds": 4.0, "machine": {"cores": 2}}
    figures = of_step(call | {"counts": {"kept": 30, "too_small": 10}})
    assert figures == {
        **{"made": 2, "seconds": 4.0, "counts/kept": 30, "counts/too_small": 10},
        **{"pairs_per_s": 10.0, "share_kept": 0.75},
    }
    assert of_step(call) == {"made": 2, "seconds": 4.0}


def heard(lines, name="base16"):
    return [(number, alert.title) for number, alert in alerts(name, lines)]


def test_what_lasts_is_one_alert():
    good = [line("step", step) for step in range(6, 26)]
    lines = [line("step", 1), line("bad_step", 2), line("bad_step", 3), line("step", 4), line("bad_step", 5)]
    assert heard([*lines, *good, line("bad_step", 27)]) == [
        (1, "base16: a number was not finite"),
        (25, "base16: a number was not finite"),
    ]


def test_an_alert_says_what_its_line_says():
    (loud,) = alerts("base16", [line("not_saved", 3, reason="no space at https://me:pw@a.test/", keys=[1, 2, 3])])
    assert loud[1].text == "base16, step 3: reason no space at https://***@a.test/"
    (slow,) = alerts("base16", [line("straggler", 3, rank=1, node="node2", seconds=1.5)])
    assert slow[1].text == "base16, step 3: rank 1, node node2, seconds 1.5"


def test_a_rate_that_falls_and_stays_low_is_one_alert():
    rates = [100, 104, 96, 101, 99, 60, 40, 41, 42, 98, 30]
    lines = [line("step", step, images_per_s=rate) for step, rate in enumerate(rates)]
    assert heard(lines) == [(6, "base16: slower than it was"), (10, "base16: slower than it was")]
    assert heard(lines[:3] + lines[6:7]) == []  # too few to know what is usual


@pytest.mark.parametrize(("kept", "is_heard"), [(700, False), (500, True), (900, True)])
def test_a_filter_that_drifts_is_an_alert(kept, is_heard):
    calls = [{"event": "step", "step": "select", "counts": {"kept": its, "x": 1000 - its}} for its in (720, 700, kept)]
    few = {"event": "step", "step": "select", "counts": {"kept": 1, "x": 3}}
    assert bool(heard([*calls[:2], few, calls[2]], "select")) == is_heard
