"""`corgi why` finds a pair by its url as well as by its key."""

from pathlib import Path

import pytest

from configs import UserError
from pipeline.runner import build, run_table
from pipeline.why import find
from tests.factory import config_for, downloaded

ROWS = [{"seed": n, "caption": f"picture number {n}"} for n in range(12)]


def test_a_pair_is_found_by_its_url_and_by_a_part_that_no_other_has(tmp_path: Path):
    config = downloaded(tmp_path, ROWS, shard_size=5)
    story = find(config, "http://a.test/7.jpg")
    assert any("picture number 7" in line for line in story.lines)
    assert find(config, "/7.jp").key == story.key == find(config, story.key[:9]).key
    assert find(config, "http://a.test/1.jpg").key  # although it is no part of that of 11


def test_a_url_that_another_one_contains_is_meant_whole(tmp_path: Path):
    config = downloaded(tmp_path, ROWS)
    assert any("number 1" in line for line in find(config, "http://a.test/1.jpg").lines)
    with pytest.raises(UserError, match=r"'1.jpg' is in the urls of 2 pairs: \w+ http://a.test/11?.jpg; \w+ http"):
        find(config, "1.jpg")


def test_a_row_that_the_plan_dropped_is_found_too(tmp_path: Path):
    downloaded(tmp_path, ROWS)
    config = config_for(tmp_path, plan={"rules": {"not_seven": "url NOT LIKE '%/7.jpg'"}})
    run_table(build("plan", config))
    story = find(config, "/7.jpg")
    assert story.shard is None and any("not_seven" in line for line in story.lines)


def test_what_is_in_no_key_and_no_url_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"key that starts with 'zzz', or a url that contains it"):
        find(downloaded(tmp_path, ROWS), "zzz")
