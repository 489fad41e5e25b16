"""What all shares of a step came to: told without making anything, and judged by what is tolerated over all."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs import UserError, dump
from configs.steps import STEPS
from corgi import app
from pipeline.runner import build
from pipeline.step import step_class
from pipeline.verdict import verdict
from storage.plan import shards_of
from storage.shard import SCORES
from tests.factory import downloaded


def test_failures_of_all_shares_are_counted_together(tmp_path: Path):
    config = downloaded(tmp_path, [{"seed": n, "caption": f"picture number {n}"} for n in range(20)])
    (tmp_path / "pipeline.yaml").write_text(dump(config))
    first, second, third = shards_of(config.run)
    build("score", config)(first)
    before = sorted(tmp_path.rglob("*"))

    def corgi(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["score", str(tmp_path / "pipeline.yaml"), "--verdict", *words])
        return done.exit_code, done.stderr

    code, said = corgi("tolerate=1")  # each of two shares would have tolerated its own
    assert code == 3 and "shard 00001 failed: it is missing" in said and "shard 00002 failed" in said
    code, said = corgi("tolerate=2")
    assert code == 0 and "score: 2 failed of 2 that are tolerated" in said
    assert sorted(tmp_path.rglob("*")) == before
    for shard in (second, third):
        build("score", config)(shard)
    assert corgi() == (0, "")
    assert first.path(SCORES).exists()


def test_a_step_without_shares_has_no_verdict(tmp_path: Path):
    config = downloaded(tmp_path, [{"seed": 1, "caption": "one"}])
    with pytest.raises(UserError, match="dedup has no shares"):
        verdict("dedup", config)


def test_a_step_that_lost_nearly_all_is_not_called_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its shards are there, but what they hold is losses, as its shares themselves would have said."""
    config = downloaded(tmp_path, [{"reason": "http_404", "caption": f"picture number {n}"} for n in range(20)])
    monkeypatch.setattr(step_class(STEPS["download"]), "state", lambda self, shard: "done")  # no web made them
    outcome = verdict("download", config)
    assert not outcome.failed and "20 of 20 pairs are lost, 20 of them for http_404" in outcome.losses[0]
