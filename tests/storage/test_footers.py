"""Footers read quickly say what Arrow's own readers say, whatever pairs say."""

from pathlib import Path

import pyarrow as pa
import pytest

from storage import footers
from storage.tables import FINGERPRINT, read_mark, read_metadata, with_mark, write_arrow, write_table

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
