"""What a person sees of long work in a log."""

import re

import pytest

from pipeline import progress


def test_a_log_gets_a_line_now_and_then_and_the_last(capsys: pytest.CaptureFixture[str]):
    with progress.Progress("base16", total=3, unit="steps", done=0) as steps:
        for step in (1, 2, 3):
            steps.reach(step, "loss 0.2500  100.0 images/s")
        steps.reach(3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "base16: 3/3 steps  0 s, eta 0 s  loss 0.2500  100.0 images/s"


def test_what_is_left_is_told_from_what_was_done_since_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    clock = iter([100.0, 112.0, 113.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shards = progress.Progress("score", total=1_010, unit="shards", done=1_000)
    shards.advance(4, "[b]tags[/b] stay  ok 7")
    shards.advance(1)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"score: 1,004/1,010 shards  12 s, eta 18 s  \[b\]tags\[/b\] stay  ok 7", line)
