"""`corgi init`: what is there is looked at, and what is written fits it and says why."""

import math
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.explain import parameters
from configs import UserError, load, read_yaml
from pipeline.config import PipelineConfig
from project.check import problems_of
from project.files import project_of
from project.init import init, told
from project.look import look
from project.presets import LINES, NAMES, PRESETS, Machine, loaded, stage_names, stage_values, suited, with_steps
from project.reasons import TRAIN
from project.yaml_text import yaml_text
from training.config import TrainConfig, accumulation

from .drawn import caption, draw_pictures, picture

GPU = Machine(cores=16, memory_gib=128, gpus_gib=(78.0,))


def table(path: Path, urls: list[str], captions: list[str], *, names: tuple[str, str] = ("URL", "TEXT")) -> Path:
    pq.write_table(pa.table(dict(zip(names, (urls, captions), strict=True))), path)
    return path


def test_a_folder_of_pictures_becomes_configs_that_work_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    draw_pictures(tmp_path / "pictures", 40)
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(init(Path("mine"), "pictures", steps=2))
    assert "40 pairs" in lines and "corgi run mine" in lines
    monkeypatch.chdir("/")
    project = project_of(tmp_path / "mine")
    assert [file.name for file in project.files] == [
        *("pipeline.yaml", "base16.yaml", "sr64.yaml", "evaluate.yaml", "chain.yaml"),
    ]
    assert problems_of(project) == [] and problems_of(project_of(tmp_path / "mine/chain.yaml"), on_cluster=True) == []
    for file in project.files:
        bare = [line for line in file.read_text().splitlines() if not line.startswith("#") and "  # " not in line]
        assert not bare, f"{file.name} has keys without a reason: {bare}"


def test_the_commands_in_configs_can_be_typed(tmp_path: Path):
    draw_pictures(tmp_path / "pictures", 5)
    assert [*init(tmp_path / "my run", str(tmp_path / "pictures"), steps=2)]
    files = [*(tmp_path / "my run").glob("*.yaml")]
    assert len(files) == 5
    for file in files:
        (command,) = [line for line in file.read_text().splitlines() if line.startswith("# Command:   ")]
        words = shlex.split(command.partition(", or ")[0].removeprefix("# Command:   "))
        assert words[2] in (str(tmp_path / "my run"), str(file)), command


def test_links_to_pictures_are_passed_over_aloud(tmp_path: Path):
    pictures = draw_pictures(tmp_path / "pictures", 5)
    assert not any("links to pictures" in line for line in told(look(str(pictures))))
    (pictures / "link.png").symlink_to(pictures / "p001.png")
    (pictures / "link.txt").symlink_to(pictures / "p001.txt")
    sight = look(str(pictures))
    assert sight.pairs == 5 and any("1 links to pictures are passed over" in line for line in told(sight))


def test_what_is_written_holds_when_the_folder_it_was_typed_in_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    draw_pictures(tmp_path / "pictures", 40)
    (tmp_path / "today").mkdir()
    monkeypatch.chdir(tmp_path / "today")
    lines = "\n".join(init(Path("../mine"), "../pictures", steps=2))
    monkeypatch.chdir("/")
    (tmp_path / "today").rmdir()
    assert "caption_raw" not in lines and problems_of(project_of(tmp_path / "mine")) == []


def test_sizes_that_are_no_numbers_are_not_looked_at(tmp_path: Path):
    sides = {"width": [64.0, math.nan, math.inf], "height": [48.0, 1.0, 1.0]}
    columns = {"url": [f"http://a.test/{n}" for n in range(3)], "caption": ["one", "two", "three"], **sides}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert look(str(tmp_path / "t.parquet")).sizes == [(64, 48)]


def test_rules_that_would_drop_much_of_what_is_there_are_off(tmp_path: Path):
    captions = [f"ein roter Apfel auf dem Tisch in der Kueche Nummer {number}" for number in range(50)]
    source = table(tmp_path / "t.parquet", [f"http://a.test/{n}.jpg" for n in range(50)], captions)
    list(init(tmp_path / "mine", str(source), steps=2))
    rules = load(PipelineConfig, tmp_path / "mine/pipeline.yaml").select.rules
    assert "english" not in rules and "no_markup" in rules and "safe_picture" in rules
    assert "# english:" in (tmp_path / "mine/pipeline.yaml").read_text()


def test_a_stage_is_not_given_pictures_smaller_than_it_makes(tmp_path: Path):
    pictures = draw_pictures(tmp_path / "pictures", 80)
    for number in range(65, 80):  # last in their folder
        picture(number).resize((40, 40)).save(pictures / f"p{number:03d}.png")
    list(init(tmp_path / "mine", str(pictures), steps=2))
    config, stages = load(PipelineConfig, tmp_path / "mine/pipeline.yaml"), tmp_path.glob("mine/*[0-9].yaml")
    assert "large_enough" not in config.select.rules
    assert config.select.stages == {"sr64": {"large_enough": "stored_width >= 64 and stored_height >= 64"}}
    assert {file.stem: load(TrainConfig, file).data.column for file in stages} == {"base16": "train", "sr64": "sr64"}


def test_columns_with_unusual_names_are_known_by_what_they_hold(tmp_path: Path):
    urls = [f"https://a.test/{number}.jpg" for number in range(30)]
    source = table(tmp_path / "t.parquet", urls, [caption(n) for n in range(30)], names=("lien", "legende"))
    list(init(tmp_path / "mine", str(source), steps=2))
    plan = load(PipelineConfig, tmp_path / "mine/pipeline.yaml").plan
    assert (plan.url, plan.caption) == ("lien", "legende")


def test_a_server_of_ones_own_is_let_through_and_a_strangers_private_url_is_not(tmp_path: Path):
    captions = [caption(number) for number in range(40)]
    own = table(tmp_path / "own.parquet", [f"http://127.0.0.1:8123/{n}.png" for n in range(40)], captions)
    urls = ["http://127.0.0.1:22/x", "http://169.254.169.254/x", *(f"http://a.test/{n}" for n in range(38))]
    theirs = table(tmp_path / "theirs.parquet", urls, captions)
    assert look(str(own)).is_own_server and not look(str(theirs)).is_own_server
    list(init(tmp_path / "a", str(own), steps=2))
    list(init(tmp_path / "b", str(theirs), steps=2))
    assert load(PipelineConfig, tmp_path / "a/pipeline.yaml").download.allow_addresses == ("127.0.0.1:8123",)
    assert load(PipelineConfig, tmp_path / "b/pipeline.yaml").download.allow_addresses == ()


@pytest.mark.parametrize("preset", NAMES)
def test_every_preset_is_a_config_with_a_reason_for_each_key(preset, tmp_path: Path):
    sight = look(str(draw_pictures(tmp_path / "pictures", 4)))
    assert set(stage_names(preset, sight)) <= set(PRESETS[preset].shares)
    for stage in PRESETS[preset].shares:
        values = stage_values(preset, stage, tmp_path, sight, GPU, precision="bf16")
        (tmp_path / "a.yaml").write_text(yaml_text(values, TRAIN, head=stage))
        assert load(TrainConfig, tmp_path / "a.yaml").stage.name == stage and read_yaml(tmp_path / "a.yaml") == values


def test_the_preset_follows_machine_and_pairs():
    assert suited(Machine(2, 8, ()), 10**9) == "tiny" and suited(GPU, 500) == "tiny"
    assert suited(GPU, 10**6) == "small" and suited(Machine(96, 1000, (78.0,) * 8), 4 * 10**8) == "paper"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: str(folder / "nothing"), "not there"),
        (lambda folder: str(folder), "no url table"),
        (lambda folder: str(table(folder / "empty.parquet", [], [])), "has no rows"),
        (lambda folder: str(table(folder / "empty.parquet", [], [], names=("x", "y"))), "has no rows"),
        (lambda folder: str(table(folder / "t.parquet", ["a"], ["b"], names=("x", "y"))), "--url or --caption"),
        (lambda folder: str(draw_pictures(folder / "pictures", 0)), "no url table"),
    ],
    ids=["missing", "empty-folder", "empty-table", "empty-other-names", "no-columns", "no-pictures"],
)
def test_nothing_to_begin_with_is_one_line_and_writes_nothing(tmp_path: Path, make, said: str):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match=said) as caught:
        list(init(tmp_path / "mine", make(tmp_path / "there"), steps=2))
    assert "\n" not in str(caught.value) and not (tmp_path / "mine").exists()


def test_nothing_is_overwritten_and_no_run_lies_in_its_own_source(tmp_path: Path):
    draw_pictures(tmp_path / "pictures", 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/chain.yaml").write_text("hers: true\n")
    with pytest.raises(UserError, match=r"chain\.yaml already"):
        list(init(tmp_path / "mine", str(tmp_path / "pictures"), steps=2))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["chain.yaml"]
    with pytest.raises(UserError, match="another folder"):
        list(init(tmp_path / "pictures/run", str(tmp_path / "pictures"), steps=2))


SIZES = {  # millions of parameters, as project/presets.py tells them
    "tiny": {"base16": 12, "sr64": 9, "sr256": 2},
    "small": {"base64": 309, "sr256": 66},
    "paper": {"base64": 2136, "sr256": 636, "sr1024": 451},
}


@pytest.mark.parametrize("preset", NAMES)
def test_presets_are_as_large_as_they_say_and_their_batches_fit_any_number_of_gpus(preset, tmp_path: Path):
    sight = look(str(draw_pictures(tmp_path / "pictures", 4)))
    for stage, millions in SIZES[preset].items():
        for gpus in (0, 1, 2, 3, 8, 12, 16):
            machine = Machine(cores=16, memory_gib=128, gpus_gib=(78.0,) * gpus)
            config = loaded(stage_values(preset, stage, tmp_path, sight, machine, precision="bf16"))
            assert accumulation(config, config.processes) >= 1
        assert round(parameters(config.stage) / 1e6) == millions


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (78, 78), (120, 60), (170, 57), (3000, 500)])
def test_a_short_training_is_looked_at_once_at_its_end_and_a_long_one_six_times(steps: int, every: int, tmp_path: Path):
    sight = look(str(draw_pictures(tmp_path / "pictures", 4)))
    values = with_steps(stage_values("tiny", "base16", tmp_path, sight, GPU, precision="bf16"), steps)
    assert values["validation"]["every_steps"] == every
    assert steps // loaded(values).log_every_steps >= min(steps, LINES)
