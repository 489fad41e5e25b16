"""Footers read quickly say what Arrow's own readers say, whatever pairs say."""

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from configs import UserError
from storage import footers
from storage.tables import FINGERPRINT, Mark, read_mark, read_metadata, with_mark, write_arrow, write_table

SPOOF = "\x18\x11corgi.fingerprint\x18\x05spoof"  # as Thrift would write it


def table(*captions: str) -> pa.Table:
    return pa.table({"caption": list(captions), "n": list(range(len(captions)))})


@pytest.mark.parametrize("metadata", [{}, {"k": ""}, {"k": "x" * 127, "l": "y" * 128}, {"k": "ä" * 30_000}])
def test_values_are_those_of_arrow(tmp_path: Path, metadata: dict[str, str]):
    rows = table(SPOOF, "a duck", "\U0010ffff" * 40)
    write_table(tmp_path / "a.parquet", rows, fingerprint="f" * 24, metadata=metadata)
    write_arrow(tmp_path / "a.arrow", with_mark(rows, "f" * 24, metadata))
    for file in (tmp_path / "a.parquet", tmp_path / "a.arrow"):
        known = read_metadata(file)
        assert set(known) == {*metadata, FINGERPRINT, "corgi.content"}
        assert footers.values(file, *known) == tuple(known.values())
        assert footers.values(file, "not there", FINGERPRINT) == (None, "f" * 24)


def test_a_file_that_is_absent_torn_or_none_of_ours_says_nothing(tmp_path: Path):
    whole = tmp_path / "whole.parquet"
    write_table(whole, table("a"), fingerprint="f")
    data = whole.read_bytes()
    torn = [b"", b"PAR1", b"ARROW1", data[:-1], data[:-9], data[-8:], b"\xff\xff\xff\xffPAR1", b"\xff" * 9 + b"ARROW1"]
    torn += [b"\0" * 20 + b"\x10\0\0\0ARROW1", b"\xff" * 40 + b"\x20\0\0\0ARROW1"]
    for number, body in enumerate(torn):
        file = tmp_path / f"{number}.parquet"
        file.write_bytes(body)
        assert read_mark(file) is None, body
    assert read_mark(tmp_path / "absent.parquet") is None and read_mark(whole / "below.parquet") is None


def test_a_footer_is_read_once_inside_and_anew_outside(tmp_path: Path):
    file = tmp_path / "a.parquet"
    write_table(file, table("a"), fingerprint="first")
    with footers.remembered():
        assert footers.values(file, FINGERPRINT) == ("first",)
        write_table(file, table("a"), fingerprint="second")
        with footers.remembered():
            assert footers.values(file, FINGERPRINT) == ("first",)
    assert footers.values(file, FINGERPRINT) == ("second",)


def test_many_looks_side_by_side_share_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [str(tmp_path / f"{number}.parquet") for number in range(600)]
    for number, name in enumerate(names[:3]):
        write_table(Path(name), table("a"), fingerprint=str(number))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    opened, opens = Counter[str](), os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened.update([str(path)]) or opens(path, *rest))  # type: ignore[func-returns-value]

    def look(name: str) -> tuple[bool, Mark | None]:
        return footers.exists(name), read_mark(name)

    with footers.remembered():
        for _ in range(2):
            found = footers.side_by_side(look, names)
        assert footers.exists(str(tmp_path / "torn.parquet")) and read_mark(tmp_path / "torn.parquet") is None
        assert footers.exists(str(tmp_path)) and not footers.exists(str(tmp_path / "0.tar"))
    assert [there for there, _ in found] == [True] * 3 + [False] * 597
    assert [mark and mark.fingerprint for _, mark in found] == ["0", "1", "2"] + [None] * 597
    assert {*opened.values()} == {1} and len(opened) == 601


@pytest.mark.parametrize("waits", [True, False])
def test_threads_look_where_a_look_waits_and_one_alone_where_it_computes(waits: bool, monkeypatch: pytest.MonkeyPatch):
    if not waits:  # whatever else this machine does meanwhile
        monkeypatch.setattr(footers, "perf_counter", footers.thread_time)
    threads = set[int]()

    def look(number: int) -> int:
        threads.add(threading.get_ident())
        time.sleep(0.0005)
        return number

    assert footers.side_by_side(look, range(800)) == [*range(800)]
    assert (len(threads) > 1) == waits


def test_a_look_that_fails_says_so_from_wherever_it_was(tmp_path: Path):
    def look(number: int) -> int:
        if number == 700:
            raise UserError("not there")
        return number

    assert footers.side_by_side(look, range(700)) == [*range(700)]
    with pytest.raises(UserError, match="not there"):
        footers.side_by_side(look, range(1000))
