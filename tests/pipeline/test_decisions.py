"""what-if, funnel, sweep and diff: what they say is what `select` would do, pair by pair."""

import json
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from configs import UserError
from corgi import app
from pipeline.config import PipelineConfig
from pipeline.decisions.diff import KEPT, NOT_THERE, diff
from pipeline.decisions.overlaps import overlaps
from pipeline.decisions.sweep import sweep
from pipeline.decisions.what_if import changed_rules, what_if
from report.browse.pairs import Pairs
from report.browse.parts import of_run
from storage import keep_list
from storage.plan import shards_of
from storage.shard import KEEP, PAIRS
from tests.factory import selected, through

from .scored_run import made, rows_of

LEWD = "hot naked blonde xxx porn"
SELECT: dict[str, Any] = {
    "rules": {"good": "pdq_quality >= 60", "new": "not exact_copy and not near_copy", "long": "length(caption) > 8"}
}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """A run of ten shards after `select`."""
    config = made(tmp_path_factory.mktemp("judged") / "run", rows_of(5, 200), select=SELECT)
    through(config, "dedup", "select")
    return config


@pytest.fixture
def judged(made_once: PipelineConfig, tmp_path: Path) -> PipelineConfig:
    """A copy of it."""
    shutil.copytree(made_once.run, tmp_path / "run")
    return made_once.model_copy(update={"run": tmp_path / "run"})


def failed_by_key(config: PipelineConfig) -> dict[str, list[str]]:
    tables = [keep_list.read(shard) for shard in shards_of(config.run)]
    return {row["key"]: row["failed"] for table in tables for row in table.to_pylist()}


def after(config: PipelineConfig, rules: dict[str, str]) -> dict[str, list[str]]:
    """What `select` itself says under other rules; today's keep-lists are put back."""
    before = {shard: shard.path(KEEP).read_bytes() for shard in shards_of(config.run)}
    through(config.model_copy(update={"select": config.select.model_copy(update={"rules": rules})}), "select")
    found = failed_by_key(config)
    for shard, data in before.items():
        shard.path(KEEP).write_bytes(data)
    return found


@pytest.mark.parametrize(
    ("wishes", "rules"),
    [
        (["pdq_quality >= 80"], {**SELECT["rules"], "good": "pdq_quality >= 80"}),
        (["pdq_quality < 55"], {**SELECT["rules"], "good": "pdq_quality < 55"}),
        (["good: null", "new: null"], {"long": SELECT["rules"]["long"]}),
        (["starts_with(key, '0')"], {**SELECT["rules"], "what_if": "starts_with(key, '0')"}),
        (
            ["long: true", "pdq_quality > 70"],
            {"good": "pdq_quality > 70", "new": SELECT["rules"]["new"], "long": "true"},
        ),
        (["good: pdq_quality >= 60"], SELECT["rules"]),
        (["good: null", "new: null", "long: null"], {}),
    ],
)
@pytest.mark.parametrize("is_fresh", [True, False], ids=["with keep-lists", "without"])
def test_what_if_is_what_select_would_do(
    judged: PipelineConfig, wishes: list[str], rules: dict[str, str], is_fresh: bool
):
    now, then = failed_by_key(judged), after(judged, rules)
    if not is_fresh:
        for shard in shards_of(judged.run):
            shard.path(KEEP).unlink()
    found = what_if(judged, wishes)
    assert found.then == rules
    assert (found.rows, found.judged_anew) == (len(now), 0 if is_fresh else len(now))
    assert (found.kept_now, found.kept_then) == ([*now.values()].count([]), [*then.values()].count([]))
    assert found.lost == Counter(then[key][0] for key in now if not now[key] and then[key])
    assert found.gained == Counter(now[key][0] for key in now if now[key] and not then[key])
    assert found.examples is not None
    for pair in found.examples["lost"]:
        assert not now[pair["key"]] and pair["failed"] == then[pair["key"]][:1]
    for pair in found.examples["gained"]:
        assert not then[pair["key"]] and pair["failed"] == now[pair["key"]]
    assert len(found.examples["lost"]) == min(8, found.lost.total())


def test_what_if_names_the_scorer_of_a_column_that_is_not_there(judged: PipelineConfig):
    for wish in ("clip_similarity > 0.28", "near: clip_similarity > 0.28"):
        with pytest.raises(
            UserError, match=r"which score\.clip makes, and it is null; switched on it costs .* pairs here"
        ):
            what_if(judged, [wish])
    with pytest.raises(UserError, match="'pdq_qualty', which does not exist; did you mean 'pdq_quality'"):
        what_if(judged, ["pdq_qualty > 5"])


def test_a_wish_that_cannot_be_asked_is_refused():
    rules, known = {"small": "side > 2", "large": "side < 9"}, ["side", "caption"]
    for wish, words in (
        ("sde < 3", "did you mean 'side'"),
        ("side < 3", "small, large ask for the same columns"),
        ("read_text('/etc/passwd') = ''", "read_text"),
        ("side < 3; drop table pairs", "not one SQL expression"),
        ("larg: null", "did you mean 'large'"),
        ("no_such.yaml", "no_such.yaml"),
    ):
        with pytest.raises(UserError, match=words):
            changed_rules(rules, [wish], known)
    assert changed_rules(rules, ["large: null"], known) == {"small": "side > 2"}
    assert [*changed_rules({}, ["side > 1", "caption::VARCHAR = ''"], known)] == ["what_if", "what_if_2"]


def test_a_policy_may_be_asked_for(judged: PipelineConfig, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("sharp: pdq_quality > 90\n")
    assert what_if(judged, [str(tmp_path / "mine.yaml")]).then == {"sharp": "pdq_quality > 90"}


def test_a_funnel_counts_each_rule_alone_uniquely_and_in_order(judged: PipelineConfig):
    counted, failed = overlaps(judged), [*failed_by_key(judged).values()]
    left = len(failed)
    assert counted.stored == left and counted.kept == failed.count([])
    for name, counts in counted.rules.items():
        first = sum(names[:1] == [name] for names in failed)
        left -= first
        alone = sum(name in names for names in failed)
        assert counts == (alone, failed.count([name]), first, left)
    assert left == counted.kept
    for (a, b), count in counted.together.items():
        assert count == sum({a, b} <= {*names} for names in failed) > 0
    assert counted.not_stored.keys() == {"http_404"}
    shards_of(judged.run)[0].path(KEEP).unlink()
    assert overlaps(judged).waiting + overlaps(judged).stored == counted.stored


def test_a_sweep_counts_what_each_threshold_keeps(judged: PipelineConfig):
    swept, names = sweep(judged, "pdq_quality", at=[40, 60, 61.5, 101]), failed_by_key(judged)
    assert (swept.sign, swept.others, swept.today) == (">=", ["new", "long"], ["good: pdq_quality >= 60"])
    assert swept.pairs == swept.alone[0] == len(names) and swept.alone[-1] == 0
    for level, kept in zip(swept.thresholds, swept.beside, strict=True):
        then = after(judged, {**SELECT["rules"], "good": f"pdq_quality >= {level}"})
        assert kept == [*then.values()].count([])
    near = swept.near[1]
    assert [pair["stays"] for pair in near] == [False, False, True, True]
    assert [pair["values"]["pdq_quality"] for pair in near] == [59, 59, 60, 60]
    below = sweep(judged, "pdq_quality", at=[60], side="below")
    assert below.sign == "<" and below.alone[0] == len(names) - swept.alone[1]
    assert 60 in sweep(judged, "pdq_quality").thresholds
    unruled = judged.model_copy(update={"select": judged.select.model_copy(update={"rules": {}})})
    for shard in shards_of(judged.run):  # an id of 64 bits, as tables of LAION have it
        table = pq.read_table(shard.path(PAIRS))
        ids = pa.array([2**62 + row for row in range(len(table))], pa.uint64())
        prices = pa.array([Decimal("1.25")] * len(table), pa.decimal128(10, 2))
        pq.write_table(table.append_column("hash", ids).append_column("price", prices), shard.path(PAIRS))
    assert sweep(unruled, "hash", at=[2**62]).alone == [len(names)]
    assert sweep(unruled, "price", at=[1.25]).alone == [len(names)]
    for column, words in (("pdq_qualit", "did you mean 'pdq_quality'"), ("caption", "only a column of numbers")):
        with pytest.raises(UserError, match=words):
            sweep(judged, column)


def test_two_runs_are_compared_by_key(judged: PipelineConfig, tmp_path: Path):
    run_b = made(tmp_path / "other", rows_of(5, 200)[60:], select={"rules": {"good": "pdq_quality >= 80"}})
    through(run_b, "dedup", "select")
    a, b = failed_by_key(judged), failed_by_key(run_b)
    found = diff(judged.run, run_b.run)

    def fate(names: list[str] | None) -> str:
        return NOT_THERE if names is None else names[0] if names else KEPT

    assert found.fates == Counter((fate(a.get(key)), fate(b.get(key))) for key in a.keys() | b.keys())
    assert found.only_a + found.only_b > 0
    for (in_a, in_b), pairs in found.examples.items():
        assert (in_a == KEPT) != (in_b == KEPT) and pairs
        assert all((fate(a.get(p["key"])), fate(b.get(p["key"]))) == (in_a, in_b) for p in pairs)


def test_the_commands_hide_what_is_sensitive_and_escape_the_rest(tmp_path: Path):
    vile, forged = "i hate you, you fucking idiot", "a calm lake\x1b[2J\nkept 100 %"
    config = selected(
        tmp_path,
        [
            {"caption": vile, "scores": {"hate": 0.9, "language": "de"}},
            {"caption": forged, "scores": {"language": "fr"}, "url": "http://a.test/\x1b]0;x"},
            {"caption": "nude", "scores": {"nsfw_score": 0.9, "language": "fr"}},
            {"caption": LEWD, "scores": {"language": "fr"}},  # no score of this run says so
            *({"caption": f"a red apple {number}"} for number in range(3)),
        ],
    )
    run, runner = str(config.run), CliRunner()
    through(config, "select")
    for words in (
        ["select", run, "--what-if", "english: null", "--what-if", "no_hate: null", "--what-if", "safe: null"],
        ["sweep", run, "nsfw_score"],
        ["diff", run, run],
        ["funnel", run],
    ):
        for further in ([], ["--json"]):
            answer = runner.invoke(app, [*words, *further])
            assert answer.exit_code == 0, answer.output
            assert not [words for words in (vile, "nude", LEWD) if words in answer.output]
            assert "\x1b" not in answer.output and "\nkept 100 %" not in answer.output
            if further:
                json.loads(answer.output)
    told = runner.invoke(app, ["select", run, "--what-if", "english: null"]).output
    assert "what if    english: no rule, in the place of language = 'en'" in told
    assert "kept       today 3 (42.9 %), then 5 (71.4 %)" in told
    told = runner.invoke(app, ["select", run, "--what-if", "nsfw_score < 0.01"]).output
    assert '"a red apple 0"' in told and "nsfw_score = 0.01  [safe]" in told  # kept today, so it may be seen
    told = runner.invoke(app, ["sweep", run, "nsfw_score", "--at", "0.5"]).output
    (where,) = [line.partition("--where ")[2].strip('"') for line in told.splitlines() if "--where" in line]
    shown = Pairs(of_run(config)).matching(where, "all", 0).pairs
    assert len(shown) > 2 and {pair["key"] for pair in shown} >= {
        line.split()[0] for line in told.partition("near 0.5")[2].splitlines()[1:] if line.strip()
    }
