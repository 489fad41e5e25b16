"""The page of any run: half way or whole, of a pipeline or of a training alone, with what was drawn in it."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs import load
from filters.thresholds import thresholds
from report.album import ROOMS, Album
from report.page import PAGE, report, write_report
from report.scores import histogram
from report.sensitive import SensitivePairs
from report.training import stages_of
from storage import ledger
from storage.atomic import commit_json
from storage.grids import write_grid
from storage.pictures import write_picture
from storage.run import TRAIN, TRAINING, write_config, write_training
from storage.samples import FIGURES
from storage.shard import PAIRS, SCORES, TAR, Shard
from tests.factory import downloaded, selected, through
from training.config import TrainConfig

from .test_page import HATEFUL, good
from .trained_run import learned, sampled

CAPTIONS = ["a red disc", HATEFUL]


def drawn(run: Path, caption: str, *, seed: int, px: tuple[int, ...] = (16, 64)) -> None:
    """What `corgi sample` leaves."""
    stages = [{"name": f"stage{side}", "sampler": {"steps": side, "guidance": 2.0}} for side in px]
    for number, side in enumerate(px, 1):
        about = {"caption": caption, "seed": seed, "stage": f"stage{side}", "stages": stages[:number]}
        pixels = np.full((side, side, 3), 20 * seed, np.uint8)
        path = run / "samples" / f"{seed}.stage{side}.png"
        write_picture(path, Image.fromarray(pixels), {**about, "drawn_at": f"2026-01-0{seed}T10:00:00+00:00"})


def trained(run: Path, *, captions: list[str] = CAPTIONS, steps: tuple[int, ...] = (10, 20)) -> None:
    """A training that drew its captions at each validation."""
    config = load(TrainConfig, Path("configs/quickstart/base16.yaml"), [f"run={run}"])
    write_config(run, config, fingerprint="made")
    write_training(run, fingerprint="made", index="made")
    for step in steps:
        ledger.note(run, event="step", step=step, seen=step * 32, loss=0.5, images_per_s=12.5)
        file = write_grid(run, step, np.full((len(captions), 16, 16, 3), step, np.uint8))
        splits = ["held_out"] * len(captions)
        ledger.note(run, event="grid", step=step, seen=step * 32, file=file, px=16, captions=captions, splits=splits)


def test_the_head_says_what_the_run_is(tmp_path: Path):
    config = selected(tmp_path, good())
    write_config(config.run, config, fingerprint="made")
    ledger.note(config.run, event="step", step="plan", seconds=1.0, made=1, machine="a machine of the test")
    trained(config.run / TRAIN / "base16")
    text = write_report(config).read_text()
    assert "a machine of the test" in text and "11.7M parameters, seed 0" in text
    assert re.search(r"<dt>when \(UTC\)</dt><dd>20\d\d-\d\d-\d\d \d\d:\d\d", text)
    for link in re.findall(r'href="([^"#]+)"', text):
        assert (config.run / "report" / link).resolve().is_file(), link
    assert 'href="../config.yaml"' in text and 'href="../train/base16/config.yaml"' in text


def test_what_corgi_sample_drew_stands_beside_the_nearest_training_picture(tmp_path: Path):
    config = selected(tmp_path, good())
    drawn(config.run, "a red heart", seed=1)
    drawn(config.run, "<b>later</b>", seed=2)
    drawn(config.run, HATEFUL, seed=3)
    text = write_report(config).read_text()
    words = '<p dir="auto">'
    assert text.index(f"{words}&lt;b&gt;later") < text.index(f"{words}a red heart")  # the last drawn first
    assert "seed 1; 16 + 64 steps, guidance 2 + 2; 2026-01-01 10:00" in text
    assert text.count("nearest of training, ") == 2 and "of 4 that were looked at" in text
    assert "Blorgs" not in text and text.count('data-veil="') == 1
    linked = {*re.findall(r'href="images/([^"]+)"', text)}
    assert {path.name for path in (config.run / "report/images").iterdir()} == linked
    with Image.open(config.run / "report/images" / min(linked)) as image:
        assert image.format == "WEBP"
    for path in (config.run / "samples").iterdir():
        path.unlink()
    write_report(config)
    assert not list((config.run / "report/images").iterdir())


def test_grids_stand_a_row_a_caption_and_hide_what_is_hateful(tmp_path: Path):
    config = selected(tmp_path, good())
    trained(config.run / TRAIN / "base16", steps=tuple(range(10, 200, 10)))
    text = write_report(config).read_text()
    shown = re.findall(r'alt="step (\d+): a red disc"', text)
    assert shown[0] == "10" and shown[-1] == "190" and len(shown) == 6
    assert "6 of 19 validations" in text and "Images a second" in text
    (hidden,) = [json.loads(base64.b64decode(veil)) for veil in re.findall(r'data-veil="([^"]+)"', text)]
    assert hidden["caption"] == HATEFUL and "Blorgs" not in text
    assert "grids/step" not in text  # whole grids would show it
    (config.run / TRAIN / "base16/ledger.jsonl").unlink()
    trained(config.run / TRAIN / "base16", captions=["a red disc"])
    assert 'href="../train/base16/grids/step-00000020.webp"' in write_report(config).read_text()


def test_thresholds_are_drawn_where_the_rules_have_them(tmp_path: Path):
    pairs = [*good(), {"caption": "a goose", "scores": {"nsfw_score": 0.7}}]
    text = write_report(selected(tmp_path, pairs)).read_text()
    assert "<b>safe</b> <code>nsfw_score &lt; 0.5</code>" in text and "1 fail (20.0%)" in text
    assert text.count('class="threshold"') == 3  # hate, offensive, nsfw_score


def test_a_histogram_counts_every_value_and_holds_every_threshold():
    values = np.concatenate([np.linspace(0, 1, 1000), [50.0, np.nan]])
    made = histogram("x", values, thresholds("rule", "x < 2 and x >= 0.5"))
    assert made is not None and sum(count for _, _, count in made.bars) == made.values == 1001
    assert [line.lost for line in made.lines] == [1, 500]
    assert all(made.across.low <= line.threshold.value <= made.across.high for line in made.lines)
    assert histogram("x", np.array([np.nan]), []) is None
    flat = histogram("x", np.full(3, 7.0), [])
    assert flat is not None and sum(count for _, _, count in flat.bars) == 3


def test_bars_that_take_the_long_run_are_no_failure(tmp_path: Path):
    config = selected(tmp_path, good())
    figures = {"gap": {"figure": 0.1, "bar": "at least 0.4", "holds": False}}
    for is_short, verdict in ((True, "this takes the long run"), (False, "missed")):
        bars = {"bars": {"of_longer_run": is_short}}
        commit_json(config.run / FIGURES, {"config": bars, "figures": figures, "gap": {}})
        (shown,) = re.findall(r'class="verdict \w+">([^<]+)<', write_report(config).read_text())
        assert shown == verdict


def test_a_run_that_is_half_way_has_a_page(tmp_path: Path):
    config = downloaded(tmp_path, [{"caption": f"a duck {n}", "seed": n, "reason": None} for n in range(20)])
    text = write_report(config).read_text()
    assert "20 wait for the rules" in text and 'data-level="stored">20<' in text and 'id="scores"' not in text
    for suffix in (PAIRS, TAR):
        Shard(config.run, 0).path(suffix).unlink()
    text = write_report(config).read_text()
    assert "wait to be fetched" in text and 'data-level="rows">20<' in text
    assert 'data-level="stored">12<' in text


def test_a_run_of_one_pair_and_three_stages_has_a_page_from_its_folder_too(tmp_path: Path):
    config = downloaded(tmp_path, [{"caption": "the only duck", "seed": 1, "reason": None}])
    through(config, "score", "dedup", "select")
    for name in ("base16", "sr64", "sr256"):
        learned(config.run, name, splits=("train",), steps=1)
    sampled(config.run, px=(16, 64, 256), held_out=False)
    drawn(config.run, "a duck", seed=1, px=(16, 64, 256))
    assert report(config.run) == config.run / PAGE
    text = (config.run / PAGE).read_text()
    assert [name for name in re.findall(r"<h3>(\w+) <small>", text) if name in ("base16", "sr64", "sr256")] != []
    assert "of 1 that were looked at" in text
    Shard(config.run, 0).path(SCORES).unlink()  # scores that were removed since
    assert 'id="scores"' not in write_report(config).read_text()


def test_a_training_that_stands_alone_has_a_page(tmp_path: Path):
    run = tmp_path / "alone"
    trained(run, captions=["a red disc"])
    drawn(run, "a red heart", seed=1)
    text = report(run).read_text()
    assert "a red heart" in text and 'alt="step 10: a red disc"' in text
    assert 'id="funnel"' not in text and "rows in the table" not in text


def test_noise_levels_that_changed_between_two_starts_are_lines_of_their_own(tmp_path: Path):
    """`validation.buckets` may change while a training goes on."""

    def validated(step: int, *levels: float) -> None:
        split = {"loss": [0.5] * len(levels), "gap": [0.1] * len(levels)}
        ledger.note(tmp_path, event="validation", step=step, seen=8 * step, log_snr=levels, held_out=split)

    commit_json(tmp_path / TRAINING, {})
    validated(1, 2.0, -2.0)
    validated(2, 2.0, 0.0, -2.0, -4.0)
    validated(3, 2.0, 0.0, -2.0, -4.0)
    (stage,) = stages_of(tmp_path, tmp_path, SensitivePairs({}), Album(tmp_path))
    assert {line.name: [seen for seen, _ in line.points] for line in stage.charts[0].lines} == {
        "+2.0": [8, 16, 24],
        "+0.0": [16, 24],
        "-2.0": [8, 16, 24],
        "-4.0": [16, 24],
    }


def test_the_page_keeps_below_two_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pairs = [{"caption": f"a lost duck {n}", "scores": {"language": "de"}} for n in range(12)]
    config = selected(tmp_path, [*good(40), *pairs])
    draw = np.random.default_rng(0)
    for seed in range(1, 9):
        drawn(config.run, f"noise {seed}", seed=seed)
        noise = Image.fromarray(draw.integers(0, 256, (256, 256, 3), np.uint8))
        path = config.run / "samples" / f"{seed}.stage64.png"
        stages = [{"name": "stage16"}, {"name": "stage64"}]
        about = {"caption": f"noise {seed}", "seed": seed, "stage": "stage64", "stages": stages}
        write_picture(path, noise, {**about, "drawn_at": f"2026-01-0{seed}T10:00:00+00:00"})
    trained(config.run / TRAIN / "base16", captions=[f"a disc {n}" for n in range(16)])
    monkeypatch.setitem(ROOMS, "mine", 60_000)
    page = write_report(config)
    assert page.stat().st_size < 2_000_000
    assert re.search(r"[2-5] of 8 are shown here", page.read_text())


def test_a_changed_policy_still_has_its_page(tmp_path: Path):
    config = selected(tmp_path, good())
    select = config.select.model_copy(update={"rules": {"new": "no_such_column > 3"}})
    assert 'id="scores"' in write_report(config.model_copy(update={"select": select})).read_text()
