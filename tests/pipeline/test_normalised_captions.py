"""Captions as everything after the plan sees them, and the table's own beside them."""

import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.captions import normalised, with_normalised, with_own
from pipeline.plan import KEY_CHARS
from storage import pairs
from storage.plan import dropped, shards_of
from storage.takedown import digest
from tests.factory import config_for, through

CASES = {
    "Tom &amp; Jerry": "Tom & Jerry",
    "&quot;Keep Calm&quot; &#8211; Blue": '"Keep Calm" \u2013 Blue',
    "twice &amp;amp; escaped &amp;lt;b&amp;gt;": "twice & escaped <b>",
    "&#x1F415; dog": "\U0001f415 dog",
    "cafe\u0301": "caf\u00e9",
    "one\ttwo\r\nthree\x1b[31m": "one two three [31m",
    " spaces\u00a0": "spaces",
    "zero\u200bwidth \u202edrawkcab\u202c": "zerowidth drawkcab",
    "&am\u200bp; hidden": "& hidden",
    "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627": "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",  # Persian
    "hidden\U000e0068\U000e0069": "hidden",
    "R&D; AT&T, a&b &copy 2": "R&D; AT&T, a&b &copy 2",  # no references
    "&nosuchname; &#0; &#xD800;": "&nosuchname; \ufffd \ufffd",
}
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_a_reader_of_the_page_sees(number):
    raw, seen = list(CASES.items())[number]
    assert normalised(raw) == seen == normalised(seen)
    assert unicodedata.is_normalized("NFC", seen)


def test_flags_keep_their_tags():
    assert normalised(f"{SCOTLAND} flag") == f"{SCOTLAND} flag"


def test_most_captions_are_not_looked_at_one_by_one_and_all_are_answered():
    raw = ["plain", *CASES, "", "plain too"]
    table = with_normalised(pa.table({"key": raw, "caption": raw, "more": raw}))
    assert table.column_names == ["key", "caption", "caption_raw", "more"]
    assert table["caption"].to_pylist() == ["plain", *CASES.values(), "", "plain too"]
    assert table["caption_raw"].to_pylist() == raw
    assert with_normalised(table.slice(0, 0).select(["caption"])).schema.names == ["caption", "caption_raw"]


def test_further_captions_are_normalised_too_and_null_where_nothing_is_left(tmp_path):
    said = ["Tom &amp; Jerry", "\u200b&nbsp;", None, "cafe\u0301"]
    table = pa.table({"url": [f"http://a.test/{n}.jpg" for n in range(4)], "caption": ["plain"] * 4, "llava": said})
    pq.write_table(table, tmp_path / "table.parquet")
    config = config_for(tmp_path, plan={"captions": ["llava"], "rules": {"no_entity": "llava not like '%&amp;%'"}})
    through(config, "plan")
    rows = {row["url"][-5]: row["llava"] for shard in shards_of(config.run) for row in pairs.planned(shard).to_pylist()}
    assert rows == {"0": "Tom & Jerry", "3": "caf\u00e9"}
    assert {row["url"][-5] for row in dropped(config.run)} == {"1", "2"}  # NULL is not known to hold
    assert with_own(said, ["own"] * 4) == ["Tom & Jerry", "own", "own", "caf\u00e9"]


def test_a_plan_knows_a_pair_by_its_raw_caption_and_judges_the_one_that_is_seen(tmp_path):
    table = pa.table(
        {
            "url": [f"http://a.test/{n}.jpg" for n in range(4)],
            "caption": ["Tom &amp; Jerry", "&nbsp;", "a&#10;b", "plain"],
            "caption_raw": ["theirs"] * 4,
        }
    )
    pq.write_table(table, tmp_path / "table.parquet")
    rules = {"no_entity": "not contains(caption, '&amp;')", "said": "len(caption_raw) > 1"}
    config = config_for(tmp_path, plan={"rules": rules})
    through(config, "plan")
    rows = {row["url"][-5]: row for shard in shards_of(config.run) for row in pairs.planned(shard).to_pylist()}
    assert {n: (row["caption"], row["caption_raw"]) for n, row in rows.items()} == {
        "0": ("Tom & Jerry", "Tom &amp; Jerry"),
        "2": ("a b", "a&#10;b"),
        "3": ("plain", "plain"),
    }
    assert all(row["table_caption_raw"] == "theirs" for row in rows.values())
    for row in rows.values():
        assert row["key"] == digest(f"{row['url']}\n{row['caption_raw']}")[:KEY_CHARS]
    (gone,) = dropped(config.run)
    assert (gone["caption"], gone["reasons"]) == ("&nbsp;", ["no_caption"])
