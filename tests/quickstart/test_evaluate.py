"""Images and figures over a small quickstart with stages that have learned nothing: everything but the quality."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cascade.text_encoder import TextConfig
from evaluation.eval_set import EvalPair, kept, some, training_set
from evaluation.evaluate import config_of, evaluate
from pipeline.config import PipelineConfig
from quickstart.names import GROUPS
from report.page import write_report
from storage import keep_list, ledger, pairs
from storage.plan import shards_of
from storage.samples import FIGURES, REAL, SampleSet, read_figures
from tests.cascade.nets import BASE, SR
from tests.evaluation.kept_run import train

pytestmark = pytest.mark.long

FEW = ["per_group=2", "held_out=3", "gap_pairs=12"]


def train_both(run: Path, step: int) -> None:
    """Checkpoints of two stages, as if trained for `step` steps."""
    for stage in (BASE, SR):
        train(run, stage, text=TextConfig(), text_width=384, step=step)


@pytest.fixture(scope="module")
def run(small: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small quickstart, trained and measured."""
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(small.run, run, ignore=shutil.ignore_patterns("web", "train", "samples"))
    train_both(run, 1)
    evaluate(run, FEW)
    return run


def test_names_are_chosen_evenly_without_tones_and_held_out_ones_apart(run: Path):
    drawings = kept(run, config_of(run))
    assert len({drawing.name for drawing in drawings}) == len(drawings)
    training = training_set(drawings, per_group=2)
    counts = Counter(drawing.group for drawing in training)
    assert counts and set(counts) <= {*GROUPS} and len(set(counts.values())) == 1
    assert not [drawing for drawing in training if drawing.held_out or drawing.variant]
    assert training == training_set(list(reversed(drawings)), per_group=2)
    assert some(drawings, 5, purpose="x") == some(list(reversed(drawings)), 5, purpose="x")
    kept_keys = {row["key"] for shard in shards_of(run) for row in keep_list.read(shard).to_pylist() if row["kept"]}
    rows = [row for shard in shards_of(run) for row in pairs.read(shard).to_pylist()]
    names = {row["key"]: row["name"] for row in rows if row["group"] in GROUPS}  # the five tones are in none
    assert {drawing.key for drawing in drawings} <= kept_keys
    assert {drawing.name for drawing in drawings} == {names[key] for key in kept_keys & names.keys()}  # none forgotten
    assert not [drawing for drawing in drawings if not says_its_name(drawing)], "a planted caption stands for a name"


def says_its_name(drawing: EvalPair) -> bool:
    return drawing.name in drawing.caption and drawing.group in GROUPS


def test_both_sets_hold_every_stage_and_the_real_images(run: Path):
    for split in ("training", "held_out"):
        samples = SampleSet(run, split)
        rows, parts = samples.rows().to_pylist(), samples.parts()
        assert {part: images.shape[1:] for part, images in parts.items()} == {
            "base16": (16, 16, 3),
            "sr64": (64, 64, 3),
            REAL: (64, 64, 3),
        }
        assert all(len(images) == len(rows) for images in parts.values())
        assert all(row["held_out"] == (split == "held_out") for row in rows)
        assert parts[REAL].mean() > parts[REAL].min()
        assert samples.table.with_suffix(".png").exists()


def test_every_figure_has_its_bar_and_whether_it_holds(run: Path):
    figures = read_figures(run)["figures"]
    assert {name: (entry["bar"], entry["holds"] is None) for name, entry in figures.items()} == {
        "base16: caption gap, training pairs": ("at least 0.4", False),
        "base16: caption gap, held-out pairs": ("at least 0.25", False),
        "sr64: nearest real image is of the same group, 64 px": ("at least 0.33", False),
        "sr64: nearest real image is of the same group, 64 px, held-out pairs": (None, True),
        "sr64: mean RGB drift, 16 to 64 px": ("below 0.02", False),
        "sr64: squared error of real images enlarged, bilinear is 1": ("below 1", False),
        "base16: images drawn a second": (None, True),
        "sr64: images drawn a second": (None, True),
    }
    assert all(np.isfinite(entry["figure"]) for entry in figures.values())


def test_the_page_shows_the_images_and_the_figures(run: Path, small: PipelineConfig):
    text = write_report(small.model_copy(update={"run": run})).read_text()
    sets = [len(SampleSet(run, split).rows()) for split in ("training", "held_out")]
    assert text.count('class="tile"') == sum(sets)
    assert "sr64: mean RGB drift, 16 to 64 px" in text and 'data-held="yes"' in text
    assert text.count('class="unveiled"') > 0  # the planted hateful captions
    assert "Blorgs" not in text and "Zindlers" not in text


def test_the_same_command_again_does_nothing_and_a_new_checkpoint_draws_anew(run: Path):
    before = {path: path.read_bytes() for path in [run / FIGURES, *(run / "samples").glob("*.npz")]}
    lines = len(ledger.read(run))
    evaluate(run, FEW)
    assert len(ledger.read(run)) == lines
    (run / FIGURES).unlink()
    SampleSet(run, "held_out").path("sr64").unlink()
    evaluate(run, FEW)
    assert [line["set"] for line in ledger.read(run)[lines:]] == ["held_out"]
    assert all(path.read_bytes() == data for path, data in before.items() if path.suffix == ".npz")
    train_both(run, 2)
    evaluate(run, FEW)
    assert len(ledger.read(run)) == lines + 1 + 4
    assert SampleSet(run, "training").path("base16").read_bytes() != before[SampleSet(run, "training").path("base16")]
