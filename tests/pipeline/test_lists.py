"""Lists: what they name is dropped by `select` alone, from what is stored already, each by the list's own name."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from configs import UserError, resolve
from filters.near_list import FEW, NearList
from pipeline.config import PipelineConfig
from pipeline.decisions.sweep import sweep
from pipeline.decisions.what_if import what_if
from pipeline.lists import ListConfig, unlisted
from storage import keep_list, pairs
from storage.plan import shards_of
from tests.factory import downloaded, through

ROWS = [{"seed": n, "caption": f"picture number {n}"} for n in range(6)]
HASHES = {"sha256": "ab" * 32, "md5": "cd" * 16, "pdq": "0f" * 32}
PAIRS = pa.table(
    {
        "key": ["a", "b", "c", "d", "e"],
        "url": [
            *("http://img.bad.test/1.jpg", "https://good.test:8080/2.jpg?x#y", "no url"),
            *("http://img.B\u00dcCHER.test/4.jpg", "http://xn--bcher-kva.test/5.jpg"),
        ],
        "final_url": [None, "http://user@sub.WORSE.test./3.jpg", None, None, None],
        "caption": ["A Very Bad-Thing happens", "badthing", None, None, None],
        "stored_sha256": ["00" * 32, HASHES["sha256"].upper(), None, None, None],
        "md5": [HASHES["md5"], None, "00" * 16, None, None],
        "pdq": pa.array(
            [bytes.fromhex(HASHES["pdq"]), None, bytes.fromhex("10" + "0f" * 31)] + [None] * 2, pa.binary(32)
        ),
    }
)


def named(folder: Path, content: str, **kinds: Any) -> list[int]:
    """The rows that a list of this content names. kinds: sha256=True and so on, or distance."""
    (folder / "list.txt").write_text(content)
    files: dict[str, Any] = {name: [folder / "list.txt"] if value is True else value for name, value in kinds.items()}
    kept = unlisted(PAIRS, {"mine": ListConfig(**files)})["mine"].to_pylist()
    return [row for row, is_kept in enumerate(kept) if not is_kept]


@pytest.mark.parametrize(
    ("text", "kinds", "rows"),
    [
        (f"# mine\n\n{HASHES['sha256']}\n", {"sha256": True}, [1]),
        (HASHES["md5"].upper(), {"md5": True}, [0]),
        (HASHES["pdq"], {"pdq": True, "distance": 4}, [0]),
        (HASHES["pdq"], {"pdq": True}, [0, 2]),
        ("http://img.bad.test/1.jpg", {"url": True}, [0]),
        ("*.bad.test\nworse.test\n", {"host": True}, [0, 1]),
        ("ad.test", {"host": True}, []),
        ("b\u00fccher.test", {"host": True}, [3, 4]),
        ("*.XN--BCHER-KVA.test", {"host": True}, [3, 4]),
        (f"{HASHES['sha256']}  picture.jpg\n", {"sha256": True}, [1]),
        (f"{HASHES['md5'].upper()} *a, b.jpg\n{'12' * 16} # mine", {"md5": True}, [0]),
        ("very BAD thing", {"text": True}, [0]),
        ("bad", {"text": True}, [0]),
        (f"indicator,type,added\n{HASHES['pdq']},HASH_PDQ,2026\n{'ff' * 32},HASH_SHA256,2026", {"pdq": True}, [0, 2]),
        (f"id,hash\n7,{HASHES['sha256']}\n8,{'12' * 32}", {"sha256": True}, [1]),
        (f'"{HASHES["md5"]}","md5"\n"{HASHES["sha256"]}","sha256"', {"md5": True}, [0]),
    ],
)
def test_what_a_list_names(tmp_path: Path, text: str, kinds: dict[str, Any], rows: list[int]):
    assert named(tmp_path, text, **kinds) == rows


@pytest.mark.parametrize(
    ("text", "kinds", "words"),
    [
        ("no hash", {"sha256": True}, "line 1: 'no hash' is no sha256; select.lists.mine names it"),
        (f"{HASHES['md5']},md5", {"pdq": True}, "lists no pdq"),
        ("", {"text": True}, "lists no text"),
        ("example.org/x", {"host": True}, "is no host"),
        ("example.org:80", {"host": True}, "is no host"),
        ("example.org", {"url": True}, "is no url"),
    ],
)
def test_a_list_that_could_never_be_met_is_refused(tmp_path: Path, text: str, kinds: dict[str, Any], words: str):
    with pytest.raises(UserError, match=words):
        named(tmp_path, text, **kinds)


@pytest.mark.parametrize(
    ("phrase", "caption", "is_named"),
    [
        (
            "\u7ea2\u8272\u7684\u732b",
            "\u4e00\u53ea\u7ea2\u8272\u7684\u732b\u5750\u5728\u684c\u5b50\u4e0a",
            True,
        ),  # a red cat, within a sentence
        ("\u7ea2\u732b", "\u4e00\u53ea\u7ea2\u8272\u7684\u732b", False),
        (
            "\u0e41\u0e21\u0e27\u0e2a\u0e35\u0e2a\u0e49\u0e21",
            "\u0e21\u0e35\u0e41\u0e21\u0e27\u0e2a\u0e35\u0e2a\u0e49\u0e21\u0e19\u0e31\u0e48\u0e07",
            True,
        ),  # an orange cat, likewise
        ("\u0e41\u0e21\u0e27\u0e2a\u0e35\u0e2a\u0e49\u0e21", "\u0e41\u0e21\u0e27\u0e2a\u0e32\u0e2a\u0e49\u0e21", False),
        (
            "\u0915\u093e\u0932\u093e",
            "\u0915\u093e\u0932\u093e \u0915\u0941\u0924\u094d\u0924\u093e",
            True,
        ),  # black (dog), in Hindi
        ("\u0915\u093e\u0932\u093e", "\u0915\u0940\u0932\u0940", False),  # the same letters with other vowels
        ("cafe\u0301 &amp; bar", "The Caf\u00e9 & Bar", True),
        ("SSD 990 \u2013 1TB", "ssd 990 1tb", True),
    ],
)
def test_phrases_are_found_in_any_script(tmp_path: Path, phrase: str, caption: str, is_named: bool):
    (tmp_path / "list.txt").write_text(phrase, encoding="utf-8")
    table = pa.table({"caption": [caption]})
    kept = unlisted(table, {"mine": ListConfig(text=[tmp_path / "list.txt"])})["mine"].to_pylist()
    assert kept == [not is_named]


def test_configs_of_lists_are_checked(tmp_path: Path):
    values = {"run": "runs/x", "table": ["x.parquet"]}
    for lists, words in (
        ({"a": {}}, "names no file"),
        ({"A b": {"url": ["x"]}}, "no name for a list"),
        ({"small": {"url": ["x"]}}, "a rule has it"),
    ):
        with pytest.raises(UserError, match=words):
            resolve(PipelineConfig, {**values, "select": {"rules": {"small": "true"}, "lists": lists}})
    with pytest.raises(UserError, match=r"none.txt: No such file.*select.lists"):
        _ = ListConfig(url=[tmp_path / "none.txt"]).content
    with pytest.raises(UserError, match="needs 'md5': a column of the url table"):
        unlisted(PAIRS.drop_columns("md5"), {"a": ListConfig(md5=[tmp_path / "x"])})


@pytest.mark.parametrize("distance", [0, 31, 40])
def test_near_hashes_are_found_as_by_comparing_all(distance: int):
    rng = np.random.default_rng(distance)
    listed = rng.integers(0, 256, (2 * FEW, 32), np.uint8)
    asked = np.unpackbits(np.concatenate([listed[:200], rng.integers(0, 256, (200, 32), np.uint8)]), axis=1)
    for row, flips in enumerate(rng.integers(0, 45, 200)):
        asked[row, rng.choice(256, flips, replace=False)] ^= 1
    packed = np.packbits(asked, axis=1)
    truth = (np.bitwise_count(packed[:, None] ^ listed[None]).sum(2) <= distance).any(1)
    near = NearList([each.tobytes() for each in listed], distance=distance)
    hashes: list[bytes | None] = [each.tobytes() for each in packed]
    assert near.near(hashes).tolist() == truth.tolist() and 0 < truth.sum() < 300
    assert near.near([None, *hashes[:1]]).tolist()[0] is False


def test_when_a_list_grows_select_alone_applies_it(tmp_path: Path):
    table, listing = tmp_path / "run", tmp_path / "listing.txt"
    config = downloaded(tmp_path, ROWS)
    (shard,) = shards_of(config.run)
    hashes = pairs.stored(shard, ["stored_sha256"])["stored_sha256"].to_pylist()
    listing.write_text(f"{hashes[0]}\n")
    lists = {"partner": {"sha256": [str(listing)]}}
    rules = {"not_three": "caption <> 'picture number 3'"}
    values = {**config.model_dump(mode="json"), "select": {"rules": rules, "lists": lists}}
    config = resolve(PipelineConfig, values)
    assert table == config.run
    assert through(config, "score", "dedup", "select")["select"]["partner"] == 1
    scored = shard.path(".scores.parquet").stat().st_mtime_ns
    assert through(config, "score", "dedup", "select")["select"] == {}
    listing.write_text(f"{hashes[0]}\n{hashes[4]}\n")
    counts = through(config, "score", "dedup", "select")
    assert counts["select"]["partner"] == 2 and counts["score"] == {}
    assert shard.path(".scores.parquet").stat().st_mtime_ns == scored
    failed = keep_list.read(shard)["failed"].to_pylist()
    assert [row for row, names in enumerate(failed) if names[:1] == ["partner"]] == [0, 4]
    for is_fresh in (True, False):
        if not is_fresh:
            shard.path(".keep.parquet").unlink()
        found = what_if(config, ["not_three: null"])  # lists stay
        assert (found.kept_now, found.kept_then) == (3, 4), is_fresh
    through(config, "select")
    assert sweep(config, "stored_width", at=[0]).beside == [3]
