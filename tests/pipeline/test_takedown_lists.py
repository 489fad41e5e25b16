"""What a line of a takedown list may say, and which pairs it means."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from configs import UserError
from pipeline.takedown.lists import Wanted, read_list

HASH = bytes(range(32))
DIGEST = "ab" * 32


def meant(tmp_path: Path, text: str, **columns: Any) -> set[int]:
    """The rows of a table that a list means."""
    (tmp_path / "list.txt").write_text(text)
    return {row for row, _ in Wanted(read_list(tmp_path / "list.txt")).rows(pa.table(columns))}


def flipped(bits: int) -> bytes:
    """HASH with so many bits changed."""
    values = np.unpackbits(np.frombuffer(HASH, np.uint8))
    values[:bits] ^= 1
    return np.packbits(values).tobytes()


URLS = [
    "https://example.org/1.jpg",
    "http://img.Example.org:8080/2.jpg",
    "https://badexample.org/3.jpg",
    "https://example.org.test/4.jpg",
    "https://user@example.org/5.jpg",
    "http://[bad/6.jpg",
]


@pytest.mark.parametrize("line", ["host:example.org", "example.org", "host: Example.ORG"])
def test_a_host_means_itself_and_those_below_it(tmp_path: Path, line: str):
    assert meant(tmp_path, line, key=list("abcdef"), url=URLS) == {0, 1, 4}


def test_a_url_is_met_as_it_was_planned_and_where_it_led(tmp_path: Path):
    asked = ["http://a.test/1", "http://a.test/1", "http://a.test/3#x"]
    columns = {"key": list("abc"), "url": asked, "final_url": [None, "http://cdn.test/1", None]}
    assert meant(tmp_path, "http://a.test/1", **columns) == {0, 1}
    assert meant(tmp_path, "# of them\n\n  http://cdn.test/1 \n", **columns) == {1}
    assert meant(tmp_path, "http://a.test/3#x", **columns) == {2}


@pytest.mark.parametrize("line", [DIGEST, DIGEST.upper(), f"sha256:{DIGEST}"])
def test_a_digest_means_stored_and_fetched_bytes(tmp_path: Path, line: str):
    columns = {"stored_sha256": [DIGEST, None, "cd" * 32, None], "fetched_sha256": [None, DIGEST, None, None]}
    assert meant(tmp_path, line, key=list("abcd"), **columns, sha256=[None, None, None, DIGEST.upper()]) == {0, 1, 3}


def test_a_perceptual_hash_means_what_is_near(tmp_path: Path):
    hashes = pa.array([HASH, flipped(31), flipped(32), None], pa.binary(32))
    assert meant(tmp_path, f"pdq:{HASH.hex()}", key=list("abcd"), pdq=hashes) == {0, 1}
    assert meant(tmp_path, f"pdq:{HASH.hex()}", key=[], pdq=hashes[:0]) == set()
    assert meant(tmp_path, f"pdq:{'0' * 64}", key=list("abcd"), pdq=hashes) == set()


def test_keys_with_and_without_their_name(tmp_path: Path):
    assert meant(tmp_path, "key:41c5d0\nabc-1", key=["41c5d0", "41c5d075", "abc-1"]) == {0, 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# nothing\n", "names nothing"),
        ("example.org\nwhat is this?", "line 2: 'what is this\\?' is no url"),
        ("pdq:1234", "line 1: 'pdq:1234' is no url"),
        ("host:", "line 1"),
    ],
)
def test_a_line_that_means_nothing_is_refused(tmp_path: Path, text: str, says: str):
    with pytest.raises(UserError, match=says):
        meant(tmp_path, text, key=["a"])


def test_a_list_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read"):
        read_list(tmp_path / "none.txt")
