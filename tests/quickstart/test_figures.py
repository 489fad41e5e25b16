"""Pictures and figures over a small quickstart with stages that have learned nothing: everything but the quality."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from configs import resolve
from evaluation.page import write_report
from evaluation.picture_sets import REAL, PictureSet
from pipeline import ledger
from pipeline.config import PipelineConfig
from pipeline.files import commit_json
from pipeline.plan import shards_of
from pipeline.shard import KEEP, PAIRS
from quickstart.chosen import kept, some, training_names
from quickstart.figures import FIGURES, main, make
from quickstart.measure import FiguresConfig, figure
from quickstart.names import GROUPS
from tests.cascade.checkpoints import save
from tests.cascade.nets import BASE, SR, awake

CONFIG = resolve(FiguresConfig, {"per_group": 2, "held_out": 3, "text_names": 12})
STAGES = (BASE, SR)


def train(run: Path, step: int) -> None:
    """Checkpoints of both stages, as if trained for `step` steps."""
    for number, stage in enumerate(STAGES):
        sampler = stage.sampler.model_copy(update={"steps": 2, "method": "ddim"})
        quick = stage.model_copy(update={"text_width": 384, "sampler": sampler})
        folder = run / "train" / stage.name
        save(folder, step, quick, {"ema_ema": awake(quick, seed=step + number)})
        commit_json(folder / "run.json", {})


@pytest.fixture(scope="module")
def run(small: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small quickstart, trained and measured."""
    run = tmp_path_factory.mktemp("figures") / "run"
    shutil.copytree(small.run, run, ignore=shutil.ignore_patterns("web", "train", "samples"))
    train(run, 1)
    make(run, CONFIG)
    return run


def test_names_are_chosen_evenly_without_tones_and_held_out_ones_apart(run: Path):
    drawings = kept(run)
    assert len({one.name for one in drawings}) == len(drawings)
    training = training_names(drawings, per_group=2)
    counts = Counter(one.group for one in training)
    assert counts and set(counts) <= {*GROUPS} and len(set(counts.values())) == 1
    assert not [one for one in training if one.held_out or one.tone_variant]
    assert training == training_names(list(reversed(drawings)), per_group=2)
    assert some(drawings, 5, purpose="x") == some(list(reversed(drawings)), 5, purpose="x")
    kept_keys = {
        row["key"] for shard in shards_of(run) for row in pq.read_table(shard.path(KEEP)).to_pylist() if row["kept"]
    }
    rows = [row for shard in shards_of(run) for row in pq.read_table(shard.path(PAIRS)).to_pylist()]
    names = {row["key"]: row["name"] for row in rows if row["group"] in GROUPS}  # the five tones are in none
    assert {one.key for one in drawings} <= kept_keys
    assert {one.name for one in drawings} == {names[key] for key in kept_keys & names.keys()}  # no name is forgotten


def test_both_sets_hold_every_stage_and_the_real_pictures(run: Path):
    for name in ("training", "held_out"):
        one = PictureSet(run, name)
        rows, parts = one.rows().to_pylist(), one.parts()
        assert {part: pictures.shape[1:] for part, pictures in parts.items()} == {
            "base16": (16, 16, 3),
            "sr64": (64, 64, 3),
            REAL: (64, 64, 3),
        }
        assert all(len(pictures) == len(rows) for pictures in parts.values())
        assert all(row["held_out"] == (name == "held_out") for row in rows)
        assert parts[REAL].mean() > parts[REAL].min()
        assert one.table.with_suffix(".png").exists()


def test_every_figure_has_its_bar_and_whether_it_holds(run: Path):
    figures = json.loads((run / FIGURES).read_text())["figures"]
    assert {name: (one["bar"], one["holds"] is None) for name, one in figures.items()} == {
        "base16: shuffled-caption gap, training names": ("at least 0.4", False),
        "base16: shuffled-caption gap, held-out names": ("at least 0.25", False),
        "sr64: nearest drawing is of the same group, 64 px": ("at least 0.33", False),
        "sr64: nearest drawing is of the same group, 64 px, held-out names": (None, True),
        "sr64: mean RGB drift, 16 to 64 px": ("below 0.02", False),
        "sr64: squared error of real pictures enlarged, bilinear is 1": ("below 1", False),
        "base16: pictures drawn a second": (None, True),
        "sr64: pictures drawn a second": (None, True),
    }
    assert all(np.isfinite(one["figure"]) for one in figures.values())
    assert figure(0.4, "", at_least=0.4)["holds"] is True and figure(0.02, "", below=0.02)["holds"] is False


def test_the_page_shows_the_pictures_and_the_figures(run: Path, small: PipelineConfig):
    text = write_report(small.model_copy(update={"run": run})).read_text()
    sets = [len(PictureSet(run, name).rows()) for name in ("training", "held_out")]
    assert text.count('class="tile"') == sum(sets)
    assert "sr64: mean RGB drift, 16 to 64 px" in text and 'data-held="yes"' in text
    assert text.count('class="unveiled"') > 0  # the planted hateful captions
    assert "Blorgs" not in text and "Zindlers" not in text


def test_the_same_command_again_does_nothing_and_a_new_checkpoint_draws_anew(run: Path):
    before = {path: path.read_bytes() for path in [run / FIGURES, *(run / "samples").glob("*.npz")]}
    lines = len(ledger.read(run))
    make(run, CONFIG)
    assert len(ledger.read(run)) == lines
    (run / FIGURES).unlink()
    PictureSet(run, "held_out").path("sr64").unlink()
    make(run, CONFIG)
    assert [line["set"] for line in ledger.read(run)[lines:]] == ["held_out"]
    assert all(path.read_bytes() == data for path, data in before.items() if path.suffix == ".npz")
    train(run, 2)
    make(run, CONFIG)
    assert len(ledger.read(run)) == lines + 1 + 4
    assert PictureSet(run, "training").path("base16").read_bytes() != before[PictureSet(run, "training").path("base16")]


def test_wrong_use_is_one_line_and_two(tmp_path: Path, small: PipelineConfig, capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert main([str(small.run), "per_grup=3"]) == 2
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'per_group'" in said and "corgi train" in said and "usage" in said
