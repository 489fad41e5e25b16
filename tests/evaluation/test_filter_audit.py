"""The audit of filters: figures against closed forms, and planted unfairness that must be found."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from configs import UserError
from corgi import app
from evaluation.filter_audit.audit import audit, told
from evaluation.filter_audit.drift import distance_of
from evaluation.filter_audit.hate import at, rates
from evaluation.filter_audit.intervals import newcombe, wilson
from evaluation.filter_audit.removal import FEWEST, removals
from evaluation.filter_audit.sample import LABELS, draw, figures, read_labels, read_sample
from pipeline.config import PipelineConfig
from pipeline.decisions.overlaps import overlaps
from storage import keep_list
from storage.plan import shards_of
from tests.factory import noise_image, selected, through

IMAGE = noise_image(0, px=24)
TONE = "\U0001f3ff"


def row(number: int) -> dict:
    """Every pair of `bad.test` in German; of those that speak of a deaf person half are hateful, of others few."""
    is_deaf, is_bad = number % 4 == 0, number % 5 == 0
    hate = 0.6 if (is_deaf and number % 8 == 0) or number % 50 == 1 else 0.05
    words = f"a deaf person waving {TONE}" if is_deaf else "a person waving"
    return {
        "caption": f"{words} number {number}",
        "url": f"http://{'bad' if is_bad else 'good'}.test/{number}.jpg",
        "image": IMAGE,
        "scores": {"hate": hate, "language": "de" if is_bad else "en"},
    }


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    config = selected(tmp_path_factory.mktemp("audited"), [row(number) for number in range(400)])
    through(config, "select")
    return config


def test_intervals_are_the_published_ones():
    # Newcombe 1998, tables of both papers: 81 of 263, 15 of 148, 0 of 20, 1 of 29; 56/70 - 48/80, 9/10 - 3/10.
    for count, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        share = wilson(count, of)
        assert (round(share.low, 4), round(share.high, 4)) == (low, high)
    for a, b, low, high in (
        (wilson(56, 70), wilson(48, 80), 0.0524, 0.3339),
        (wilson(9, 10), wilson(3, 10), 0.1705, 0.8090),
    ):
        difference = newcombe(a, b)
        assert (round(difference.low, 4), round(difference.high, 4)) == (low, high)
    assert wilson(0, 0)[:3] == (0.0, 0.0, 1.0)


def test_distances_of_samples_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, 50).astype(float), rng.integers(2, 12, 70).astype(float)
    assert distance_of(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic)


def test_groups_that_are_removed_more_often_are_found(config: PipelineConfig):
    found = {(each.kind, each.group): each for each in removals(config)}
    deaf, german = found["identity term", "deaf"], found["language", "de"]
    failed = [names for shard in shards_of(config.run) for names in keep_list.read(shard)["failed"].to_pylist()]
    assert deaf.removed.of == 100 and deaf.removed.hits + deaf.others.hits == sum(map(bool, failed))
    assert deaf.removed.share > deaf.others.share and deaf.difference.is_certain and deaf.rule == "no_hate"
    assert german.removed.share == 1.0 and german.rule == "english"
    assert found["skin tone", "dark"].removed.of == 100
    assert found["host", "bad.test"].removed.share == 1.0 > found["host", "good.test"].removed.share
    assert all(each.removed.of >= FEWEST for each in found.values())


def test_hate_content_rates_are_shares_of_captions(config: PipelineConfig):
    hate = {rate.threshold: rate for rate in rates(config) if rate.column == "hate"}
    hateful = sum(row(number)["scores"]["hate"] > 0.5 for number in range(400))
    assert (hate[0.5].before.hits, hate[0.5].before.of) == (hateful, 400)
    assert hate[0.5].after.hits == 0 < hate[0.5].after.of == overlaps(config).kept
    assert hate[0.6].before.hits in (0, hateful)  # float32 of 0.6 lies above it
    assert [rate.column for rate in at(rates(config))] == ["hate", "offensive"]


def test_labels_say_how_right_a_rule_is(config: PipelineConfig):
    drawn = draw(config, of_each=20)
    assert drawn == draw(config, of_each=20) == read_sample(config.run) != draw(config, of_each=20, seed=1)
    draw(config, of_each=20)
    by_rule = {rule: [each for each in drawn if each.rule == rule] for rule in ("english", "no_hate", "")}
    assert [len(some) for some in by_rule.values()] == [20, 20, 20]
    lines = [(each, "right" if number < 15 else "wrong") for number, each in enumerate(by_rule["no_hate"])]
    lines += [(each, "no_hate" if number < 2 else "fit") for number, each in enumerate(by_rule[""])]
    lines += [(by_rule["english"][0], "unsure"), (by_rule["no_hate"][0], "wrong"), (by_rule["no_hate"][0], "right")]
    path = config.run / LABELS
    path.write_text("".join(json.dumps({"key": e.key, "rule": e.rule, "label": label}) + "\n" for e, label in lines))
    counted = overlaps(config)
    (no_hate,) = figures(counted, drawn, read_labels(path))
    assert no_hate.precision == wilson(15, 20) and no_hate.missed == wilson(2, 20)
    found, missed = counted.rules["no_hate"].alone * 0.75, counted.kept * 0.1
    assert no_hate.recall.share == pytest.approx(found / (found + missed))
    assert no_hate.recall.low < no_hate.recall.share < no_hate.recall.high
    audited = audit(config)
    assert audited.rules == [no_hate] and not audited.changed
    strict = {**config.select.rules, "no_hate": f"({config.select.rules['no_hate']}) and true"}
    edited = config.model_copy(update={"select": config.select.model_copy(update={"rules": strict})})
    assert audit(edited).changed == ["", "no_hate"]
    assert "the kept pairs, no_hate: rules changed since the sample was drawn" in told(audit(edited))
    for line in (b"not json\n", b"\xff\n"):
        path.write_bytes(line)
        with pytest.raises(UserError, match="line 1 is no label"):
            read_labels(path)
    path.unlink()


def test_the_command_tells_and_writes_what_it_found(config: PipelineConfig, tmp_path: Path):
    runner, run = CliRunner(), str(config.run)
    other = selected(tmp_path, [{**row(n), "scores": {"hate": 0.3}} for n in range(60)])
    through(other, "select")
    through(config, "select")
    answer = runner.invoke(app, ["audit", "filters", run, "--against", str(other.run)])
    assert answer.exit_code == 0, answer.output
    for words in ("Removed by language", "deaf", "Hate content rate", "Drift: how scores lie", "none yet"):
        assert words in answer.output
    written = json.loads((config.run / "audit/filters.json").read_text())
    assert written.keys() == {"rules", "changed", "removal", "hate", "drift"}
    drifted = {each["column"]: each for each in written["drift"]["scores"]}
    assert drifted["hate"]["distance"] > drifted["hate"]["limit"]
    assert drifted["nsfw_score"]["distance"] == 0
    assert "label them with" in runner.invoke(app, ["audit", "filters", run, "--sample", "5"]).output
