"""What a person sees when the machine is at fault: a full disk, a port that is taken. Real disks, real ports."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from storage.atomic import sha256_file

# A disk of its own for one process and its children: filled up, then emptied again.
FULL = """
set -e
mount -t tmpfs -o size="$SIZE" small "$DISK"
cp -a "$RUN" "$DISK/run"
for made in $MADE; do rm -rf "$DISK/run/$made"*; done
dd if=/dev/zero of="$DISK/filler" bs=4k 2>/dev/null || true
set +e
"$@" 2> "$SAID/full.txt" >/dev/null
echo $? > "$SAID/full"
rm "$DISK/filler"
"$@" 2> "$SAID/room.txt" >/dev/null
echo $? > "$SAID/room"
for made in $MADE; do cp -a "$DISK/run/$made"* "$SAID/"; done
"""
QUICK = ("steps=2", "checkpoint.every_steps=1", "validation.every_steps=0", "batch=8", "micro_batch=8")


def corgi(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "corgi", *map(str, words)]


@pytest.fixture(scope="module")
def without_web(small: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("people") / "run"
    shutil.copytree(small.run, run, ignore=shutil.ignore_patterns("web"))
    return run


@pytest.mark.parametrize(
    ("command", "made"),
    [
        pytest.param(["plan", "pipeline.yaml"], "plan", marks=pytest.mark.soak),
        pytest.param(["score", "pipeline.yaml"], "000/00000.scores", marks=pytest.mark.long),
        pytest.param(["dedup", "pipeline.yaml"], "duplicates", marks=pytest.mark.long),
        pytest.param(["select", "pipeline.yaml"], "000/00000.keep", marks=pytest.mark.soak),
        pytest.param(["embed", "pipeline.yaml"], "000/00001.minilm", marks=pytest.mark.soak),
        pytest.param(["index", "pipeline.yaml"], "index", marks=pytest.mark.soak),
        pytest.param(["train", "base16.yaml", *QUICK], "train/base16", marks=pytest.mark.long),
    ],
)
def test_a_full_disk_is_one_line_and_with_room_the_same_command_goes_on(
    without_web: Path, tmp_path: Path, command: list[str], made: str
):
    disk, said = tmp_path / "disk", tmp_path / "said"
    disk.mkdir()
    said.mkdir()
    name, config, *further = command
    own = f"run={disk / 'run'}" if name != "train" else f"run={disk / 'run/train/base16'}"
    index = [f"data.index={disk / 'run/index.parquet'}"] if name == "train" else []
    words = corgi(name, disk / "run" / config, own, *index, *further)
    environment = {"SIZE": "400m", "DISK": str(disk), "RUN": str(without_web), "SAID": str(said), "MADE": made}
    shell = ["unshare", "--map-root-user", "--mount", "bash", "-c", FULL, "full", *words]
    subprocess.run(shell, env={**os.environ, **environment}, check=True, timeout=300)
    lines = (said / "full.txt").read_text().splitlines()
    assert (said / "full").read_text() == "1\n", lines
    assert "No space left on device" in lines[-1] and not [line for line in lines if "Traceback" in line], lines
    assert (said / "room").read_text() == "0\n", (said / "room.txt").read_text()
    for path in said.glob("*.parquet"):
        assert sha256_file(path) == sha256_file(without_web / made.rpartition("/")[0] / path.name)


@pytest.mark.long
def test_a_port_that_is_taken_is_one_line_and_another_port_goes_on(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = corgi("quickstart", "--run", tmp_path / "run", "--pairs", "20", "--minutes", "0.01")
        done = subprocess.run([*words, "--port", str(port)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert f"port {port} of 127.0.0.1 is in use; choose another with --port" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
