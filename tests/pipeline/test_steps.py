"""score to index on a run whose pictures are there: what each file says, and what a change makes stale."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cascade.text_encoder import TextEncoder
from configs import UserError
from filters.scorers import ScorersConfig
from pipeline.config import PipelineConfig
from pipeline.funnel import funnel
from pipeline.runner import build, run_step
from pipeline.status import steps_of
from pipeline.why import find
from storage import index
from storage.plan import shards_of
from storage.run import write_config
from storage.shard import KEEP, PAIRS, SCORES, TAR
from storage.text_embeds import TextEmbedsFile
from tests.factory import WITHOUT_MODELS, downloaded, through

AFTER = ("score", "dedup", "select", "embed", "index")
ROWS: list[dict[str, Any]] = [
    *({"seed": n, "caption": f"picture number {n}"} for n in range(10)),
    {"seed": 3, "caption": "the third once more"},
    {"seed": 3, "caption": "and again"},
    {"seed": 20, "caption": "short"},
    {"seed": 21, "caption": "picture number 1"},
    {"reason": "http_404", "caption": "gone"},
    {"reason": "corrupt", "caption": "broken"},
]
SELECT: dict[str, Any] = {
    "rules": {"words": "caption_words >= 2", "exact_copy": "not exact_copy", "near_copy": "not near_copy"},
    "held_out": "caption like '%number 7'",
    "stages": {"sr": {"not_five": "caption not like '%number 5'"}},
}


def whole(folder: Path, **sections: Any) -> PipelineConfig:
    config = downloaded(folder, ROWS, **{"select": SELECT, "dedup": {"distance": 0, "min_quality": 0}, **sections})
    through(config, *AFTER)
    return config


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    return whole(tmp_path_factory.mktemp("world"))


def column(config: PipelineConfig, suffix: str, name: str) -> list:
    return [value for shard in shards_of(config.run) for value in pq.read_table(shard.path(suffix))[name].to_pylist()]


def test_scores_have_a_row_for_each_stored_pair_in_order(made: PipelineConfig):
    keys = [k for k, s in zip(column(made, PAIRS, "key"), column(made, PAIRS, "status"), strict=True) if s == "ok"]
    assert column(made, SCORES, "key") == keys == column(made, KEEP, "key")
    assert set(column(made, SCORES, "min_side")) == {96}


def test_of_copies_the_smallest_key_stays_and_every_failing_rule_is_named(made: PipelineConfig):
    rows = {
        key: row
        for key, *row in zip(*(column(made, KEEP, n) for n in ("key", "kept", "failed", "caption")), strict=True)
    }
    copies = sorted(
        key
        for key, (_, _, caption) in rows.items()
        if caption in ("picture number 3", "the third once more", "and again")
    )
    assert [rows[key][0] for key in copies] == [True, False, False]
    assert all(rows[key][1] == ["exact_copy", "near_copy"] for key in copies[1:])
    assert [row[1] for row in rows.values() if row[2] == "short"] == [["words"]]


def test_held_out_pairs_are_kept_but_no_stage_trains_on_them(made: PipelineConfig):
    rows = list(zip(*(column(made, KEEP, n) for n in ("kept", "held_out", "sr", "caption")), strict=True))
    assert [row for row in rows if row[1]] == [(True, True, False, "picture number 7")]
    assert sum(row[2] for row in rows) == 11 - 2  # kept, less the held-out one and number 5


def test_embeds_are_the_encoders_own_once_for_each_caption(made: PipelineConfig):
    encoder = TextEncoder(made.embed.text)
    captions = dict(zip(column(made, KEEP, "key"), column(made, KEEP, "caption"), strict=True))
    for shard in shards_of(made.run):
        embeds = TextEmbedsFile(shard, "minilm")
        expected = encoder.encode([captions[key] for key in embeds.keys])
        assert all((embeds.at(row, key=key) == expected[row]).all() for row, key in enumerate(embeds.keys))
        assert embeds.width == 384 and embeds.total_tokens == sum(map(len, expected))


def test_the_index_counts_what_the_keep_lists_say(made: PipelineConfig):
    file = index.read(made.run / index.INDEX)
    assert sum(file.table["pairs"].to_pylist()) == 14
    assert [sum(file.table[name].to_pylist()) for name in ("kept", "train", "held_out", "sr")] == [11, 10, 1, 9]
    assert (file.encoder, file.width, file.columns) == ("minilm", 384, ["train", "sr"])


def test_the_funnel_loses_nobody(made: PipelineConfig):
    losses = funnel(made)
    assert losses["totals"] == {"rows": 16, "kept": 11, "train": 10, "held_out": 1}
    assert losses["counts"]["download"] == {"http_404": 1, "corrupt": 1}
    assert losses["counts"]["select"] == {"words": 1, "exact_copy": 2, "near_copy": 0}
    assert losses["examples"]["select.words"][0]["caption"] == "short"


def test_why_ends_at_the_rule_that_dropped_a_pair(made: PipelineConfig):
    rows = zip(*(column(made, KEEP, n) for n in ("key", "caption")), strict=True)
    keys = {caption: key for key, caption in rows}
    story = find(made, keys["short"][:12])
    assert not story.kept and story.lines[-1] == "dropped   by the rule words"
    kept = find(made, keys["picture number 2"])
    assert kept.kept and "passed  words" in "\n".join(kept.lines) and "tokens" in kept.lines[-1]
    lost = find(
        made,
        next(
            k for k, s in zip(column(made, PAIRS, "key"), column(made, PAIRS, "status"), strict=True) if s == "corrupt"
        ),
    )
    assert lost.lines[-1] == "dropped   by the download: corrupt"
    with pytest.raises(UserError, match="no pair"):
        find(made, "zzzz")


@pytest.mark.long
def test_a_change_makes_stale_exactly_what_depends_on_it(tmp_path: Path):
    config = whole(tmp_path)
    rules = {**SELECT["rules"], "words": "caption_words >= 1"}
    looser = config.model_copy(update={"select": config.select.model_copy(update={"rules": rules})})
    write_config(looser.run, looser, fingerprint="looser")
    states = {status.step: status.states for status in steps_of(config.run)}
    assert states["score"]["done"] == states["embed"]["done"] == 2 and states["dedup"]["done"] == 1
    assert states["select"]["stale"] == 2
    assert run_step("score", looser).done == 0
    assert run_step("select", looser, workers=1).done == 2
    assert run_step("embed", looser, workers=1).counts["encoded"] == 1  # only the caption that is newly kept
    assert run_step("index", looser).done == 1


@pytest.mark.parametrize(
    ("step", "first"),
    [("score", "download"), ("dedup", "score"), ("select", "score"), ("embed", "select"), ("index", "select")],
)
def test_a_step_before_its_time_says_which_command_to_run(tmp_path: Path, step: str, first: str):
    config = downloaded(tmp_path, ROWS, select=SELECT)
    if step == "score":
        shards_of(config.run)[0].path(PAIRS).unlink()
    try:
        said = run_step(step, config).failed[0]
    except UserError as error:
        said = str(error)
    assert f'run "corgi {first} {config.run}" first' in said


def test_a_pair_kept_anew_needs_its_embeds_before_the_index(tmp_path: Path):
    config = whole(tmp_path)
    rules = {**SELECT["rules"], "words": "caption_words >= 1"}
    looser = config.model_copy(update={"select": config.select.model_copy(update={"rules": rules})})
    run_step("select", looser, workers=1)
    with pytest.raises(UserError, match=r'run "corgi embed .*" first'):
        run_step("index", looser)
    keys = dict(zip(column(config, KEEP, "caption"), column(config, KEEP, "key"), strict=True))
    assert find(looser, keys["short"]).lines[-1] == "embed     not done since the pair is kept"


def test_without_hashes_there_are_no_near_copies(tmp_path: Path):
    config = whole(tmp_path, score={"language": None, "nsfw": None, "hate": None, "pdq": None})
    assert funnel(config)["counts"]["select"] == {"words": 1, "exact_copy": 2, "near_copy": 0}


def test_a_key_cut_so_short_that_it_is_of_two_shards_is_refused(made: PipelineConfig):
    keys = column(made, PAIRS, "key")
    for shared in {a[:1] for a, b in itertools.combinations(keys, 2) if a[:1] == b[:1]} | {""}:
        with pytest.raises(UserError, match="more than one key"):
            find(made, shared)
    for key in keys:
        assert find(made, key).key == find(made, key[:20]).key == key


def test_a_lost_tar_is_made_again_by_download(made: PipelineConfig):
    step, shard = build("download", made), shards_of(made.run)[0]
    shard.path(TAR).rename(shard.path(".away"))
    assert step.state(shard) == "missing"
    shard.path(".away").rename(shard.path(TAR))
    assert step.state(shard) != "missing"


@pytest.mark.long
def test_no_image_is_decoded_that_no_scorer_wants(tmp_path: Path):
    config = downloaded(tmp_path, ROWS, score={**WITHOUT_MODELS, "pdq": None, "noise": None})
    for shard in shards_of(config.run):
        shard.path(TAR).write_bytes(b"broken")
    outcome = run_step("score", config, workers=1)
    assert not outcome.failed and outcome.counts == {"scored": 14}
    with_images = config.model_copy(update={"score": ScorersConfig.model_validate(WITHOUT_MODELS)})
    assert "is cut short" in run_step("score", with_images, workers=1).failed[0]


@pytest.mark.long
def test_a_shard_of_which_nothing_is_kept_passes_all_steps(tmp_path: Path):
    config = downloaded(tmp_path, [{"reason": "http_404", "caption": f"gone {n}"} for n in range(3)], select=SELECT)
    for name in AFTER:
        assert not run_step(name, config, workers=1).failed
    assert index.read(config.run / index.INDEX).table["tokens"].to_pylist() == [0]
    assert [status.sentence for status in steps_of(config.run)][-1] == "1 of 1 done"


def test_shards_scored_by_different_configs_are_refused_in_one_line(tmp_path: Path):
    config = downloaded(tmp_path, ROWS)
    run_step("score", config, workers=1)
    without_hashes = config.model_copy(update={"score": config.score.model_copy(update={"pdq": None})})
    run_step("score", without_hashes, rank=1, world_size=2, workers=1)
    with pytest.raises(UserError, match=r'run "corgi score .*" first'):
        run_step("dedup", config)
