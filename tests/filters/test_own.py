"""Scorers of one's own: from a file or an entry point, beside ours, remembered by their source."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from configs import UserError
from filters import own
from filters.base import Batch
from filters.scorers import ScorersConfig, build, columns_of

SHARPNESS = '''
import numpy as np

class Sharpness:
    """How much neighbours differ."""

    needs = ("images",)
    columns = {"sharpness": "float32"}

    def __call__(self, batch):
        return {"sharpness": [float(np.abs(np.diff(image.mean(axis=2), axis=1)).mean()) for image in batch.images]}
'''


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(own.VARIABLE, "[]")
    own._scorers_of.cache_clear()


def asked(folder: Path, source: str, name: str = "mine.py") -> list[own.Own]:
    (folder / name).write_text(source)
    own._scorers_of.cache_clear()
    own.ask_for([str(folder / name)])
    return own.own_scorers()


def test_a_file_brings_scorers_after_ours(tmp_path: Path):
    (scorer,) = asked(tmp_path, SHARPNESS)
    assert [each.name for each in build(ScorersConfig())][-1] == "sharpness"
    assert [*columns_of(ScorersConfig()).items()][-1] == ("sharpness", pa.float32())
    before = scorer.fingerprint
    (changed,) = asked(tmp_path, SHARPNESS.replace("abs", "square"))
    (same,) = asked(tmp_path, SHARPNESS, name="moved.py")
    assert changed.fingerprint != before == same.fingerprint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1", "no class with `needs` and `columns`"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("class A:\n  needs = ('captions',)\n  columns = {'a b': 'int32'}", "'a b' is no name"),
        ("class A:\n  needs = ('captions',)\n  columns = {'a': 'number'}", "column 'a' has the type 'number'"),
        ("class A:\n  needs = ()\n  columns = {'a': 'int32'}", "says no `needs`"),
        ("class A:\n  needs = ('captions',)\n  columns = {'aspect': 'int32'}", "'aspect', .* it is taken"),
        ("class Pdq:\n  needs = ('captions',)\n  columns = {'x': 'int32'}", "called 'pdq'.* it is taken"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, source: str, words: str):
    with pytest.raises(UserError, match=words) as caught:
        asked(tmp_path, source)
        build(ScorersConfig())
    assert "\n" not in str(caught.value)


def test_answers_are_checked(tmp_path: Path):
    head = "class A:\n  needs = ('captions',)\n  columns = {'a': 'int32'}\n  def __call__(self, batch): return "
    wrong = (("{'b': [1]}", "returned b, and not the columns a"), ("{'a': [1, 2]}", "2 values for 1 pair"))
    for answer, words in wrong:
        (scorer,) = asked(tmp_path, head + answer)
        with pytest.raises(UserError, match=words):
            scorer(Batch(captions=["one"]))


def test_answers_of_another_type_name_their_column(tmp_path: Path):
    head = "class A:\n  needs = 'captions'\n  columns = {'a': 'int8'}\n  def __call__(self, batch): return {'a': "
    for answer in ("['x']", "[1000]", "[object()]", "[0.9]"):
        (scorer,) = asked(tmp_path, head + answer + "}")
        assert scorer.needs == ("captions",)
        with pytest.raises(UserError, match="scorer A: a is no int8: "):
            scorer(Batch(captions=["one"]))


def test_a_scorer_may_be_a_dataclass(tmp_path: Path):
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\n"
    body = "class A:\n  needs = ('captions',)\n  columns = {'a': 'int8'}\n  most: int = 3\n"
    (scorer,) = asked(tmp_path, f"{head}{body}  def __call__(self, batch): return {{'a': [self.most]}}")
    assert scorer(Batch(captions=["one"])) == {"a": [3]}


def test_a_file_that_is_no_text_is_told_in_a_line(tmp_path: Path):
    (tmp_path / "mine.py").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"mine\.py is no text in UTF-8"):
        own.ask_for([str(tmp_path / "mine.py")])


def test_an_installed_package_brings_one_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sharp_package.py").write_text(SHARPNESS)
    about = tmp_path / "sharp_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sharp-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[corgi.scorers]\nsharp = sharp_package:Sharpness\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert own.own_scorers() == []  # what is installed does not run by itself
    own.ask_for(["sharp"])
    (scorer,) = own.own_scorers()
    assert scorer.name == "sharpness"
    with pytest.raises(UserError, match="did you mean 'sharp'"):
        own.ask_for(["shrp"])
    sys.modules.pop("sharp_package", None)
    assert json.loads(own.os.environ[own.VARIABLE]) == ["shrp"]
