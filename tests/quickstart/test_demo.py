"""The quickstart's end: a page drawn by its own stages, which its report links."""

from pathlib import Path

import pytest

import quickstart.demo
from configs import UserError, dump
from demo.serve import site_of
from quickstart.demo import click_words
from storage import ledger
from storage.demo import SITE
from storage.signed import read_signed
from tests.demo import small_demo


@pytest.mark.long
def test_a_draft_is_drawn_by_the_runs_own_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    names = [folder.name for folder in small_demo.stages(run / "train")]
    few = tmp_path / "few.yaml"
    few.write_text(dump(small_demo.vocabulary(thing=["a lemon"], colour=["a red"])))
    monkeypatch.setattr(quickstart.demo, "VOCABULARY", few)
    click_words(run, names, precision="fp32")
    signed = read_signed(run / SITE)
    assert len(signed.manifest["pictures"]) == 4 and signed.manifest["draft"]
    with pytest.raises(UserError, match="nobody has looked at"):
        site_of(run / SITE)
    commands = [line["command"] for line in ledger.read(run) if line["event"] == "command"]
    assert commands == ["demo compile", "demo bundle"]
    before = signed.files
    click_words(run, names, precision="fp32")
    assert read_signed(run / SITE).files == before
