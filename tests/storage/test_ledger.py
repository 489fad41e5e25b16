"""The ledger: what a restart makes void is left out, and a torn line hurts nothing but itself."""

import resource

from storage.ledger import Goodput, Ledger, goodput, note, read, read_training


def write(run, *lines):
    ledger = Ledger(run)
    for event, step, *loss in lines:
        ledger.note(event, step=step, **({"loss": loss[0]} if loss else {}))
    ledger.sync()
    ledger.close()


def test_lines_come_back_in_order(tmp_path):
    write(tmp_path, ("start", 0), ("step", 1, 0.5), ("step", 2, 0.25))
    lines = [(line["event"], line["step"]) for line in read_training(tmp_path)]
    assert lines == [("start", 0), ("step", 1), ("step", 2)]
    assert read_training(tmp_path / "nowhere") == []


def test_a_restart_makes_later_lines_void(tmp_path):
    write(tmp_path, ("step", 1, 1.0), ("step", 2, 2.0), ("checkpoint", 2), ("step", 3, 3.0))
    write(tmp_path, ("restart", 2), ("step", 3, 4.0))
    steps = [(line["step"], line["loss"]) for line in read_training(tmp_path) if line["event"] == "step"]
    assert steps == [(1, 1.0), (2, 2.0), (3, 4.0)]


def test_a_torn_line_is_passed_over_and_not_continued(tmp_path):
    write(tmp_path, ("step", 1, 1.0))
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write('{"event": "st')
    write(tmp_path, ("restart", 1), ("step", 2, 2.0))
    assert [line["event"] for line in read_training(tmp_path)] == ["step", "restart", "step"]


def test_two_ways_of_writing_give_one_kind_of_line(tmp_path):
    note(tmp_path, event="start", step=0)
    write(tmp_path, ("done", 1))
    assert [[*line] for line in read(tmp_path)] == [["time", "event", "step"], ["event", "step", "time"]]


def test_lines_that_a_full_disk_has_no_room_for_are_written_later(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ledger = Ledger(tmp_path)
    ledger.note("step", step=1, loss=1.0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "ledger.jsonl").stat().st_size + 10, hard))
        for step in (2, 3):
            ledger.note("step", step=step, loss=0.5)
        ledger.sync()
        assert [line["step"] for line in read(tmp_path)] == [1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ledger.note("step", step=4, loss=0.25)
    ledger.close()
    assert [line["step"] for line in read(tmp_path)] == [1, 2, 3, 4]


def test_a_rewind_voids_later_lines_but_not_what_its_start_said(tmp_path):
    write(tmp_path, ("step", 1, 1.0), ("restart", 1), ("changed", 1), ("step", 2, 2.0), ("bad_step", 3), ("rewind", 1))
    write(tmp_path, ("step", 2, 3.0))
    told = [(line["event"], line["step"]) for line in read_training(tmp_path)]
    assert told == [("step", 1), ("restart", 1), ("changed", 1), ("rewind", 1), ("step", 2)]


def test_goodput_leaves_out_what_was_lost_and_what_starts_cost(tmp_path):
    step = {"event": "step", "data_s": 1.0, "compute_s": 9.0}
    note(tmp_path, event="start", step=0, time=100.0, setup_s=20.0)
    note(tmp_path, **step, step=1, time=110.0)
    note(tmp_path, **step, step=2, time=120.0)  # lost: the restart is at step 1
    note(tmp_path, event="restart", step=1, time=200.0, setup_s=30.0)
    note(tmp_path, **step, step=2, time=210.0)
    assert goodput(tmp_path) == Goodput(useful_s=20.0, paid_s=80.0, restarts=1)
    assert goodput(tmp_path).share == 0.25 and goodput(tmp_path / "nowhere").share == 0
