"""`corgi evaluate` on runs that are not the quickstart's: what can be measured is, and what cannot is said."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cascade.text_encoder import TextConfig
from configs import UserError
from evaluation.evaluate import evaluate
from evaluation.measure import Evaluation, figure
from storage.atomic import commit_json
from storage.run import TRAINING
from storage.samples import EVALUATE, FIGURES, REAL, SampleSet, read_figures
from tests.cascade.checkpoints import save
from tests.cascade.encoders import small_t5
from tests.cascade.nets import BASE, SR, awake

from .kept_run import make, train

SIZES = [(64, 64), (24, 40), (300, 100), (9, 9), (96, 64)]
WORDS = ("apple", "flag", "corgi", "house", "cat", "heart")
PLAIN = [{"caption": f"a {word} number {n}", "size": SIZES[n % 5]} for n, word in enumerate(WORDS * 2)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    return TextConfig(encoder=str(small_t5(tmp_path_factory.mktemp("encoder") / "t5")))


def figures_of(run: Path, *overrides: str) -> dict[str, dict[str, Any]]:
    evaluate(run, overrides)
    return read_figures(run)["figures"]


def test_a_base_alone_without_groups_and_held_out_pairs(tmp_path: Path, text: TextConfig):
    """Nothing is known but captions, and images are smaller and larger than the stage, wide and high."""
    run = make(tmp_path / "run", PLAIN)
    train(run, BASE, text=text)
    figures = figures_of(run)
    assert figures["base16: caption gap, training pairs"]["figure"] is not None
    missing = {name: entry["says"] for name, entry in figures.items() if entry["figure"] is None}
    assert missing == {
        "base16: caption gap, held-out pairs": "the largest family has 0 of 0 captions; "
        "shuffling needs at most half in one",
        "nearest real image is of the same group": "no column of groups; give group=COLUMN",
    }
    assert not [name for name, entry in figures.items() if entry["holds"] is not None], "no bars were given"
    assert {part: images.shape for part, images in SampleSet(run, "training").parts().items()} == {
        "base16": (12, 16, 16, 3),
        REAL: (12, 16, 16, 3),
    }
    assert not SampleSet(run, "held_out").table.exists()


def test_an_enlarging_stage_alone_starts_from_real_images(tmp_path: Path, text: TextConfig):
    run = make(
        tmp_path / "run", [*PLAIN, {"caption": "unseen", "held_out": True}, {"caption": "new", "held_out": True}]
    )
    train(run, SR, text=text)
    figures = figures_of(run)
    assert figures["sr64: caption gap, training pairs"]["says"] == "the run has no base stage"
    assert figures["sr64: squared error of real images enlarged, bilinear is 1"]["figure"] > 0
    assert SampleSet(run, "held_out").parts()["sr64"].shape == (2, 64, 64, 3)


def test_a_sampler_of_the_evaluation_holds_for_all_that_is_drawn(
    tmp_path: Path, text: TextConfig, capsys: pytest.CaptureFixture[str]
):
    run = make(tmp_path / "run", [*PLAIN, {"caption": "unseen", "held_out": True}])
    train(run, SR, text=text)
    own = figures_of(run)["sr64: squared error of real images enlarged, bilinear is 1"]
    other = figures_of(run, "sample.samplers={sr64: {method: ddim, steps: 5, guidance: 9}, sr46: {steps: 5}}")
    assert other["sr64: squared error of real images enlarged, bilinear is 1"] != own
    assert "sample.samplers.sr46 is passed over: no stage of that name draws" in capsys.readouterr().out


def test_a_training_may_go_on_meanwhile_and_remove_the_checkpoint(
    tmp_path: Path, text: TextConfig, monkeypatch: pytest.MonkeyPatch
):
    run = make(tmp_path / "run", [*PLAIN, {"caption": "unseen", "held_out": True}])
    for stage in (BASE, SR):
        train(run, stage, text=text)

    def pictures_by(evaluation: Evaluation, *args: Any) -> Any:
        for folder in (run / "train").glob("*/checkpoints/step_*"):
            shutil.rmtree(folder)
        return draw(evaluation, *args)

    draw = Evaluation.draw
    monkeypatch.setattr(Evaluation, "draw", pictures_by)
    assert "base16: caption gap, training pairs" in figures_of(run)
    assert {*SampleSet(run, "held_out").parts()} == {"base16", "sr64", REAL}


@pytest.mark.parametrize("between", ["[-0.5, 0.5]", "[2, -4]", "[6, 9]"])
def test_a_gap_over_no_level_is_one_line(tmp_path: Path, between: str):
    with pytest.raises(UserError, match=r"gap_log_snr .* holds no level at which .*: -7, -5, -3, -1, 1, 3, 5"):
        evaluate(tmp_path, [f"gap_log_snr={between}"])


def test_stages_that_do_not_fit_are_left_out_by_name(
    tmp_path: Path, text: TextConfig, capsys: pytest.CaptureFixture[str]
):
    run = make(tmp_path / "run", PLAIN)
    large = SR.model_copy(update={"name": "sr256", "image_px": 256, "low_res_px": 128})
    for stage in (BASE, SR, large):
        train(run, stage, text=text)
    figures = figures_of(run)
    assert "sr256 is left out: it does not enlarge what sr64 makes" in capsys.readouterr().out
    assert figures["sr64: squared error of real images enlarged, bilinear is 1"]["says"] == (
        "no held-out pair is stored at 64 px or more"
    )
    assert not [name for name in figures if "sr256" in name]


def test_a_stage_that_is_left_out_needs_no_such_weights(tmp_path: Path, text: TextConfig):
    run = make(tmp_path / "run", PLAIN)
    train(run, BASE, text=text)
    trial = BASE.model_copy(update={"name": "trial16"})
    save(run / "train/trial16", 1, trial, {"params": awake(trial)}, text=text)
    commit_json(run / "train/trial16" / TRAINING, {})
    assert "base16: caption gap, training pairs" in figures_of(run)


def test_columns_conditions_and_bars_come_from_the_run_and_from_today(tmp_path: Path, text: TextConfig):
    words = [
        {"caption": f"{word} {n}", "what": word, "kind": "thing" if n < 4 else "being", "n": n}
        for n, word in enumerate(WORDS)
    ]
    run = make(tmp_path / "run", [*words, {"caption": "once more", "what": "cat", "kind": "being", "n": 9}])
    for stage in (BASE, SR):
        train(run, stage, text=text)
    (run / EVALUATE).write_text(
        "name: what\ngroup: kind\nwhere: n <> 1\nvariants: n = 0\nbars: {group: 0.9, drift: 9}\n"
    )
    figures = figures_of(run, "per_group=5", "bars.gap_training=0.5")
    rows = SampleSet(run, "training").rows().to_pylist()
    assert sorted(row["name"] for row in rows) == ["cat", "corgi", "heart", "house"], (
        "no n = 1, no variant, no name twice"
    )
    group = figures["sr64: nearest real image is of the same group, 64 px"]
    assert group["bar"] == "at least 0.9" and "nearest of 4 real ones; chance is 1 of 2" in group["says"]
    assert figures["sr64: mean RGB drift, 16 to 64 px"]["holds"] is True
    assert figures["base16: caption gap, training pairs"]["bar"] == "at least 0.5"


def test_no_more_pairs_take_part_than_asked_for(tmp_path: Path, text: TextConfig):
    run = make(tmp_path / "run", [*PLAIN, *({"caption": f"unseen {n}", "held_out": True} for n in range(8))])
    train(run, BASE, text=text)
    figures_of(run, "pairs=5")
    assert [len(SampleSet(run, split).rows()) for split in ("training", "held_out")] == [5, 5]


def test_what_is_there_and_fresh_is_not_made_again(
    tmp_path: Path, text: TextConfig, capsys: pytest.CaptureFixture[str]
):
    run = make(tmp_path / "run", PLAIN)
    train(run, BASE, text=text)
    first = figures_of(run)
    capsys.readouterr()
    assert figures_of(run) == first
    assert capsys.readouterr().out == f"evaluate: {run / FIGURES} is there and fresh\n"
    train(run, BASE, text=text, step=2)
    assert figures_of(run) != first


def test_wrong_use_is_a_line_that_says_what_to_do(tmp_path: Path, text: TextConfig):
    run = make(tmp_path / "run", PLAIN)
    with pytest.raises(UserError, match="corgi train"):
        evaluate(run)
    train(run, BASE, text=text)
    with pytest.raises(UserError, match="did you mean 'per_group'"):
        evaluate(run, ["per_grup=3"])
    with pytest.raises(UserError, match="no column 'captoin'; did you mean 'caption'"):
        evaluate(run, ["name=captoin"])
    with pytest.raises(UserError, match="no kept pair takes part"):
        evaluate(run, ["where=caption = 'x'"])
    with pytest.raises(UserError, match="no track 'slow'"):
        evaluate(run, ["track=slow"])
    with pytest.raises(UserError, match="device 'cuda:99' is not here"):
        evaluate(run, ["device=cuda:99"])


def test_a_stage_without_a_checkpoint_yet_keeps_nothing_else_from_being_measured(
    tmp_path: Path, text: TextConfig, capsys: pytest.CaptureFixture[str]
):
    run = make(tmp_path / "run", PLAIN)
    commit_json(run / "train" / "sr64" / TRAINING, {})
    with pytest.raises(UserError, match="sr64 has no committed checkpoint"):
        evaluate(run)
    train(run, BASE, text=text)
    capsys.readouterr()
    assert "base16: caption gap, training pairs" in figures_of(run, "gap_pairs=2", "per_group=1")
    assert "sr64 is left out: it has no checkpoint yet" in capsys.readouterr().out


def test_a_figure_on_its_bar():
    assert figure(0.4, "", at_least=0.4)["holds"] is True and figure(0.02, "", below=0.02)["holds"] is False
    assert figure(None, "", at_least=0.4) == {"figure": None, "bar": "at least 0.4", "holds": None, "says": ""}
