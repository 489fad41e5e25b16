"""`corgi sample`: pictures that say how they were drawn, the same in any batch."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cascade import Cascade
from cascade.text_encoder import TextConfig
from configs import UserError, resolve
from evaluation.draw import DrawConfig, draw, file_name, read_captions
from evaluation.start_pictures import read_start
from pipeline.download.config import DownloadConfig
from pipeline.download.image import store
from storage.atomic import sha256_file
from storage.checkpoint import COMMIT
from storage.pictures import pictures_in, read_about, read_pixels
from storage.processes import child_environment
from tests.cascade.checkpoints import save
from tests.cascade.encoders import small_t5
from tests.cascade.nets import BASE, SR, awake
from tests.pipeline.test_download_color import DISPLAY_P3

CAPTIONS = ["a drawing of a red apple, food", "flag of Norway", "corgi"]
SAMPLER: list[str] = ["steps", "guidance", "aug_level", "threshold", "method"]
HOSTILE = [
    "\u65e5\u672c\u306e\u65d7 \U0001f1ef\U0001f1f5",
    "../../etc/passwd",
    "a \x00 nul, a \x1b[31m red \x07 bell and a \u202e turn",
    "<script>alert(1)</script>",
    "word " * 200,
    "",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two trained stages, with an encoder of their own."""
    run = tmp_path_factory.mktemp("home") / "run"
    text = TextConfig(encoder=str(small_t5(run / "t5")))
    for stage in (BASE, SR):
        quick = stage.sampler.model_copy(update={"steps": 2, "method": "ddim"})
        stage = stage.model_copy(update={"text_width": 32, "sampler": quick})
        save(run / "train" / stage.name, 3, stage, {"ema_ema": awake(stage), "params": awake(stage, seed=1)}, text=text)
    (run / "config.yaml").write_text("run: here\n")
    return run


@pytest.fixture
def stages(run: Path) -> list[Path]:
    return [run / "train/base16", run / "train/sr64"]


def drawn(stages: list[Path], captions: list[str], out: Path, **how: Any) -> list[Path]:
    asked: dict[str, str] = {name: how.pop(name) for name in SAMPLER if name in how}
    return draw(stages, captions=captions, out=out, asked=asked, config=resolve(DrawConfig, {"device": "cpu", **how}))


def near(path: Path, other: Path) -> bool:
    """Equal but for the last bit of a rounding."""
    return bool(np.abs(read_pixels(path).astype(int) - read_pixels(other).astype(int)).max() <= 1)


def test_every_caption_and_stage_gets_a_png_that_says_how_it_was_drawn(stages: list[Path], tmp_path: Path):
    paths = drawn(stages, CAPTIONS, tmp_path, seed=5, steps="3,2", guidance="2", batch=2)
    assert [path.name for path in paths] == [
        f"{file_name(caption)}-{seed}.{stage}.png"
        for seed, caption in zip((5, 6, 7), CAPTIONS, strict=True)
        for stage in ("base16", "sr64")
    ]
    assert [read_pixels(path).shape for path in paths] == [(16, 16, 3), (64, 64, 3)] * 3
    about = read_about(paths[3])
    base, sr = about["stages"]
    assert (about["caption"], about["seed"], about["stage"]) == (CAPTIONS[1], 6, "sr64")
    assert [base["sampler"]["steps"], sr["sampler"]["steps"], sr["sampler"]["guidance"]] == [3, 2, 2.0]
    assert base["digest"] == sha256_file(stages[0] / "checkpoints/step_00000003" / COMMIT) and base["step"] == 3
    assert (about["device"], about["precision"], about["track"], about["batch"]) == ("cpu", "fp32", "ema", 2)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", about["drawn_at"]) and about["seconds"] > 0
    assert [stage["name"] for stage in read_about(paths[2])["stages"]] == ["base16"]


def test_a_picture_is_the_same_in_any_batch_and_with_any_neighbours(stages: list[Path], tmp_path: Path):
    together = drawn(stages, CAPTIONS, tmp_path / "all", seed=5, batch=16)
    for batch in (1, 2):
        others = drawn(stages, CAPTIONS, tmp_path / str(batch), seed=5, batch=batch)
        assert all(near(path, other) for path, other in zip(together, others, strict=True))
    alone = drawn(stages, CAPTIONS[1:2], tmp_path / "one", seed=6)
    assert all(near(path, other) for path, other in zip(alone, together[2:4], strict=True))
    again = drawn(stages, CAPTIONS, tmp_path / "again", seed=5, batch=16)
    for path, other in zip(together, again, strict=True):
        assert np.array_equal(read_pixels(path), read_pixels(other))
    for how in ({"seed": 8}, {"steps": "4"}, {"track": "params"}):
        other = drawn(stages[:1], CAPTIONS[1:2], tmp_path / "other", **{"seed": 6, **how})[0]
        assert not near(other, alone[0]), how


def test_any_caption_is_told_whole_and_gives_a_plain_name(stages: list[Path], tmp_path: Path):
    paths = drawn(stages[:1], HOSTILE, tmp_path)
    assert [read_about(path)["caption"] for path in paths] == HOSTILE
    assert all(re.fullmatch(r"[a-z0-9-]{1,80}\.base16\.png", path.name) for path in paths)
    assert {path.parent for path in paths} == {tmp_path} and len(set(paths)) == len(HOSTILE)
    with Image.open(paths[2]) as image:
        assert image.text["Description"] == "a \ufffd nul, a \ufffd[31m red \ufffd bell and a \u202e turn"  # type: ignore[attr-defined]
    assert {picture.caption for picture in pictures_in(tmp_path)} == {*HOSTILE}
    with pytest.raises(UserError, match="no UTF-8 text"):
        drawn(stages[:1], ["half a \ud800 pair"], tmp_path)


def test_names_tell_captions_apart():
    assert file_name("A red apple, food!") == "a-red-apple-food"
    assert re.fullmatch(r"caption-[0-9a-f]{6}", file_name("\u65e5\u672c"))
    names = [file_name(caption) for caption in ("\u65e5\u672c", "\u4e2d\u56fd", "word " * 100, "word " * 101)]
    assert len({*names}) == 4


def test_a_grid_shows_all_of_them(stages: list[Path], tmp_path: Path):
    *_, grid = drawn(stages, CAPTIONS, tmp_path, seed=5, grid=True)
    assert grid.name == "grid.5-7.sr64.png" and read_pixels(grid).shape == (128, 128, 3)
    assert np.array_equal(read_pixels(grid)[64:, :64], read_pixels(tmp_path / "corgi-7.sr64.png"))
    assert read_about(grid)["captions"] == CAPTIONS
    assert grid not in [picture.path for picture in pictures_in(tmp_path)]


def test_pictures_lie_in_the_run_of_their_stages(stages: list[Path], run: Path):
    (path,) = draw(stages[:1], captions=["corgi"], config=DrawConfig(device="cpu"))
    assert path.parent == run / "samples"


def test_captions_come_from_a_file(tmp_path: Path):
    file = tmp_path / "captions.txt"
    file.write_bytes("\ufeffa red heart\r\n\r\n  ein H\u00e4uschen \n\u2028 kept\x85whole\n".encode())
    assert read_captions(file) == ["a red heart", "ein H\u00e4uschen", "kept\x85whole"]
    for content, reason in ((b" \n", "holds no caption"), (b"caf\xe9", "no UTF-8 at byte 3")):
        file.write_bytes(content)
        with pytest.raises(UserError, match=f"captions.txt: {reason}"):
            read_captions(file)
    with pytest.raises(UserError, match="No such file"):
        read_captions(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"steps": "0"}, r"base16: sampler: steps: .*greater than 0, got '0'"),
        ({"steps": "64,x"}, r"sr64: sampler: steps: .*integer.*got 'x'"),
        ({"steps": "1,2,3"}, r"steps takes one value or 2, one each for base16, sr64; got 3: 1,2,3"),
        ({"guidance": "nan"}, r"guidance: .*got 'nan'"),
        ({"guidance": "-1"}, r"guidance: .*greater than or equal to 0, got '-1'"),
        ({"aug_level": "1.5"}, r"sr64: sampler: aug_level: .*less than or equal to 1, got '1.5'"),
        ({"aug_level": "0,0.1"}, r"aug_level takes one value, for sr64; got 2"),
        ({"method": "euler"}, r"method: .*'heun', got 'euler'"),
        ({"threshold": "soft"}, r"threshold: .*got 'soft'"),
        ({"batch": 0}, r"batch: .*greater than or equal to 1, got 0"),
        ({"precision": "fp8"}, r"precision: .*got 'fp8'"),
        ({"device": "cuda:99"}, r"device 'cuda:99' is not here .*take one of: cpu"),
        ({"device": "gpu"}, r"device 'gpu' is not here"),
        ({"device": "meta"}, r"device 'meta' is not here"),
        ({"track": "slow"}, r"no track 'slow'; it has ema, params"),
    ],
)
def test_wrong_values_are_told_in_one_line_before_anything_is_drawn(
    stages: list[Path], tmp_path: Path, how: dict[str, Any], reason: str
):
    with pytest.raises(UserError, match=reason) as caught:
        drawn(stages, ["corgi"], tmp_path / "out", **how)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_further_wrong_use_is_told_in_one_line(stages: list[Path], tmp_path: Path):
    with pytest.raises(UserError, match="nothing to draw"):
        drawn(stages, [], tmp_path)
    with pytest.raises(UserError, match="no committed checkpoint"):
        drawn([tmp_path], ["x"], tmp_path)
    with pytest.raises(UserError, match=r"aug_level 0\.1 is for stages that enlarge, and none does"):
        drawn(stages[:1], ["x"], tmp_path, aug_level="0.1")
    with pytest.raises(UserError, match=r"captions are a list: write \['a red heart'\]"):
        Cascade.load(stages).sample("a red heart")
    (tmp_path / "file").touch()
    for out in ("file", "file/within"):
        with pytest.raises(UserError, match="a file is in its way; give another --out"):
            drawn(stages, ["x"], tmp_path / out)
    with pytest.raises(UserError, match=r"xxx cannot be made: File name too long; give another --out"):
        drawn(stages, ["x"], tmp_path / ("x" * 300))


def test_a_run_that_is_only_read_is_told_before_anything_is_drawn(
    stages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # chmod holds nobody off who is root
    with pytest.raises(UserError, match=r"shared cannot be written to; give another --out"):
        drawn(stages, ["x"], tmp_path / "shared")
    assert not [*(tmp_path / "shared").iterdir()]


def test_a_pipeline_s_run_in_the_place_of_stages_is_told_which_it_has(run: Path):
    with pytest.raises(UserError, match=r"is the run of a pipeline; give stages of it: .*base16 .*sr64"):
        drawn([run], ["x"], run / "none")


def test_pictures_of_ones_own_are_enlarged(stages: list[Path], tmp_path: Path):
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{n}.png" for n in range(2)]
    for file, size in zip(files, ((16, 16), (48, 32)), strict=True):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(file)
    small, large = (np.asarray(Image.open(file)) for file in files)
    middle = large[8:40].reshape(16, 2, 16, 2, 3).mean((1, 3))  # another way to the means of four pixels each
    paths = draw(stages[1:], captions=CAPTIONS[:2], start=files, out=tmp_path, config=DrawConfig(batch=1, device="cpu"))
    starts = np.stack([small, middle.round().astype(np.uint8)])
    expected = Cascade.load(stages[1:]).sample(CAPTIONS[:2], start=starts)["sr64"]
    for path, pixels in zip(paths, expected, strict=True):
        assert np.abs(read_pixels(path).astype(int) - pixels).max() <= 3  # halves may be rounded otherwise
        assert read_about(path)["start"] == [sha256_file(file) for file in files]
    (alone,) = drawn(stages[:1], CAPTIONS[:1], tmp_path)
    assert "start" not in read_about(alone)


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "P3"])
def test_a_start_is_seen_as_a_run_stores_it(tmp_path: Path, mode: str):
    ramp, about = np.linspace(0, 255, 48).astype(np.uint16), dict[str, Any]()
    if mode == "RGBA":  # what is not there is black, as most tools write it, and a run stores white
        made = Image.new("RGBA", (48, 48))
        made.paste((200, 40, 40, 255), (0, 0, 24, 48))
    elif mode == "I;16":
        made = Image.fromarray(np.tile(ramp * 257, (48, 1)))
    else:
        made, about = Image.new("RGB", (48, 48), (40, 200, 60)), {"icc_profile": DISPLAY_P3}
    made.save(tmp_path / "mine.png", **about)
    kept = store((tmp_path / "mine.png").read_bytes(), DownloadConfig(min_side_px=16).limits).data
    (tmp_path / "kept.jpg").write_bytes(kept)
    starts = read_start([tmp_path / "mine.png", tmp_path / "kept.jpg"], SR, count=2)
    assert starts is not None and starts.shape == (2, 16, 16, 3)
    assert np.abs(starts[0].astype(int) - starts[1]).max() <= 6  # of a JPEG


@pytest.mark.parametrize(
    ("use", "files", "reason"),
    [
        (slice(1, 2), [], r"sr64 enlarges 16 px: name the stage below it first, or give --start PICTURE"),
        (slice(0, 2), ["large.png"], r"base16 starts from noise"),
        (slice(1, 2), ["large.png"] * 2, r"one for each of 3 captions; got 2"),
        (slice(1, 2), ["none.png"], r"none\.png: no such picture"),
        (slice(1, 2), ["text.png"], r"text\.png is no picture"),
        (slice(1, 2), ["small.png"], r"small\.png has 40 x 15 px; both sides must have 16 at least"),
    ],
)
def test_a_start_that_does_not_fit_is_one_line(
    stages: list[Path], tmp_path: Path, use: slice, files: list[str], reason: str
):
    Image.new("RGB", (40, 15)).save(tmp_path / "small.png")
    Image.new("RGB", (40, 16)).save(tmp_path / "large.png")
    (tmp_path / "text.png").write_text("no PNG")
    with pytest.raises(UserError, match=reason):
        draw(stages[use], captions=CAPTIONS, start=[tmp_path / name for name in files], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_heun_takes_the_grid_that_it_needs(stages: list[Path], tmp_path: Path):
    (path,) = drawn(stages[:1], ["corgi"], tmp_path, method="heun")
    assert read_about(path)["stages"][0]["sampler"]["grid"] == "edm"


def test_python_draws_what_the_command_draws(stages: list[Path], tmp_path: Path):
    images = Cascade.load(stages).sample(CAPTIONS[:2], seed=5)
    assert {name: (array.shape, array.dtype) for name, array in images.items()} == {
        "base16": ((2, 16, 16, 3), np.uint8),
        "sr64": ((2, 64, 64, 3), np.uint8),
    }
    paths = drawn(stages, CAPTIONS[:2], tmp_path, seed=5)
    assert np.array_equal(images["sr64"][1], read_pixels(paths[3]))


def test_the_readme_s_python_runs(run: Path, monkeypatch: pytest.MonkeyPatch):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(from cascade import Cascade.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(run.parent)
    said: dict[str, Any] = {}
    exec(block.replace("runs/quickstart", run.name), said)
    for name, shape, dtype in re.findall(r'"(\w+)": (\([\d, ]+\)) (\w+)', block):
        assert str(said["images"][name].shape) == shape and said["images"][name].dtype == dtype


def test_what_is_no_picture_of_ours_says_nothing(tmp_path: Path):
    Image.new("RGB", (2, 2)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no PNG")
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:20])
    from PIL.PngImagePlugin import PngInfo

    for number, text in enumerate(("[" * 100_000, "[]", json.dumps({"caption": 3, "seed": "x", "stage": None}), "{")):
        info = PngInfo()
        info.add_text("corgi", text)
        Image.new("RGB", (2, 2)).save(tmp_path / f"hostile-{number}.png", pnginfo=info)
    assert list(pictures_in(tmp_path)) == []


@pytest.mark.long
def test_the_command_takes_them_all(stages: list[Path], tmp_path: Path):
    (tmp_path / "captions.txt").write_text("a red heart\ncorgi\n")
    options = "--captions captions.txt --out out --steps 3,2 --guidance 2,1 --aug-level 0.1 --threshold static"
    options += " --method ddim --ema params --device cpu --precision bf16 --batch 2 --grid --seed 4"
    command = [sys.executable, "-m", "corgi", "sample", *map(str, stages), "--caption", "flag", *options.split()]
    done = subprocess.run(command, cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=True)
    names = [Path(line).name for line in done.stdout.splitlines()]
    assert names == [
        *(f"{name}.{stage}.png" for name in ("flag-4", "a-red-heart-5", "corgi-6") for stage in ("base16", "sr64")),
        "grid.4-6.sr64.png",
    ]
    about = read_about(tmp_path / "out/flag-4.sr64.png")
    assert (
        about["stages"][1]["sampler"] | {"steps": 2, "guidance": 1.0, "threshold": "static", "aug_level": 0.1}
        == (about["stages"][1]["sampler"])
    )
    command[command.index("3,2")] = "0"
    failed = subprocess.run(command, cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=False)
    assert failed.returncode == 2 and len(failed.stderr.splitlines()) == 1 and "got '0'" in failed.stderr
