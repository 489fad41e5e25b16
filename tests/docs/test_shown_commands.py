"""Every command that README and docs show is run, in the order of the pages, beside one small run of the whole way."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from storage import pairs
from storage.plan import shards_of
from tests.quickstart.small_quickstart import piped

from .pages import ROOT, Shown, commands, python_blocks
from .shell import Shell

RUN = Path("runs/quickstart")
ON_GPUS = "gpu.md"  # it says what has not been run
ELSEWHERE = (  # other tests go these ways: minutes of drawing, a server that waits, jobs of a cluster
    *("corgi quickstart", "corgi init --quickstart", "corgi browse"),
    *("corgi status runs/quickstart --watch", "corgi logs", "corgi cancel", "corgi doctor"),
    *(f"corgi demo {name}" for name in ("compile", "review", "bundle", "verify", "serve")),
)
AT_MOST = {  # what takes minutes, or a cluster
    "corgi init": "--steps 1 --preset tiny",
    "corgi submit": "--dry-run",
}
SHAPES = ("ellipse", "rectangle")
COLORS = ("red", "green", "blue", "orange", "purple")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which somebody follows the pages: a small quickstart, her table, shards and pictures."""
    folder = tmp_path_factory.mktemp("desk")
    config = piped(folder / RUN)
    shutil.copy(config.run / "table.parquet", folder / "table.parquet")
    (folder / "shards").mkdir()
    for shard in shards_of(config.run):
        (folder / "shards" / f"{shard.number:05d}.tar").symlink_to(shard.path(".tar"))
    (folder / "pictures").mkdir()
    for number, (shape, color) in enumerate((shape, color) for shape in SHAPES for color in COLORS * 4):
        image = Image.new("RGB", (96, 80), "white")
        getattr(ImageDraw.Draw(image), shape)((8 + number, 6, 60 + number % 20, 50 + number % 25), fill=color)
        image.save(folder / "pictures" / f"{number}.png")
        (folder / "pictures" / f"{number}.txt").write_text(f"a drawing of a {color} {shape}, number {number}")
    (folder / "coco").mkdir()
    (folder / "coco/val2017").symlink_to(folder / "pictures")
    key = pairs.read(shards_of(config.run)[0], ["key"])["key"][0].as_py()
    (folder / "list.txt").write_text(f"{key}\n")
    shown = re.search(r"^ {4}# mine\.yaml\n((?: {4}.*\n)+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert shown is not None
    (folder / "mine.yaml").write_text(re.sub("^    ", "", shown[1], flags=re.M).replace("/data/cc12m", "shards"))
    (folder / "configs").symlink_to(ROOT / "configs")  # as in a checkout
    return folder


def typed(shown: Shown, desk: Path, key: str) -> str:
    """What somebody at this desk types: her own key and folders."""
    line = shown.line.replace("41c5d075dd", key)
    line += next((f" {more}" for begins, more in AT_MOST.items() if line.startswith(begins)), "")
    if line.startswith("corgi init mine") and (desk / "mine").exists():  # other pages begin elsewhere
        line = line.replace("mine", f"mine-{len(list(desk.glob('mine*')))}", 1)
    return line


@pytest.mark.long
def test_what_the_pages_show_works(desk: Path):
    key = (desk / "list.txt").read_text().strip()
    done: set[str] = set()
    with Shell(cwd=desk, environment={"WANDB_MODE": "offline"}) as shell:
        for shown in commands():
            if shown.page != ON_GPUS and shown.line not in done and not shown.line.startswith(ELSEWHERE):
                line = typed(shown, desk, key[:12])
                result = shell.run(line)
                assert result.code == 0, f"{shown.page}: {line}\n{result.output[-4000:]}"
                done.add(shown.line)
    assert len(done) > 30
    blocks = python_blocks(ROOT / "docs" / "file-formats.md")
    for block in blocks:
        subprocess.run([sys.executable, "-W", "error", "-c", block], cwd=desk, check=True)
    assert len(blocks) >= 5
