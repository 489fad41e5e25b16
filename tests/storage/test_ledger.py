"""The ledger: what a restart makes void is left out, and a torn line hurts nothing but itself."""

from storage.ledger import Ledger, note, read, read_training


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
