"""The job of a small training over two nodes of a real SLURM, which runs until somebody ends it."""

import re
import sys
from pathlib import Path
from typing import Any

from configs import resolve
from slurm.config import ChainConfig
from slurm.render import render
from slurm.script import Place
from storage.checkpoint import committed
from storage.ledger import read, read_training
from tests.factory import make_run
from tests.training.small_training import values_of, write_config

from .cluster import Cluster, wait_for

EVERY = 5  # steps between two checkpoints
FURTHER = 7  # steps after which a start has made a newer checkpoint
HOUSE = Path(__file__).parents[2]


class SmallJob:
    """Its script in the hands of SLURM, and what it has come to."""

    def __init__(self, folder: Path, cluster: Cluster, **further: Any) -> None:
        self.folder, self.cluster, self.run = folder, cluster, folder / "train"
        shape: dict[str, Any] = {"batch": 8, "micro_batch": 4, "steps": 100_000, "checkpoint": {"every_steps": EVERY}}
        values = values_of(self.run, make_run(folder / "data"), **shape | further)
        self.file = write_config(folder / "base16", values).rename(folder / "base16.yaml")
        chain: dict[str, Any] = {
            "pipeline": str(folder / "pipeline.yaml"),
            "train": [str(self.file)],
            "run": str(folder / "chain"),
            "slurm": {
                "arrays": "asked",
                "env": {"PYTHONPATH": str(HOUSE), "OMP_NUM_THREADS": "1"},
                "cpus": 1,
                "signal_s": 60,
                "train": {"nodes": 2, "hosts": "one", "processes_per_node": 1},
            },
        }
        place = Place(file=folder / "chain.yaml", cwd=folder, python=Path(sys.executable))
        (training,) = (job for job in render(resolve(ChainConfig, chain), place) if job.name == "train-base16")
        (folder / "chain/slurm/exits").mkdir(parents=True)
        self.script = folder / "job.sbatch"
        self.script.write_text(training.script)
        self.id = self.submit()

    def submit(self, *options: str) -> str:
        """Hand the script to SLURM; its id."""
        return self.cluster.run("sbatch", "--parsable", *options, self.script, cwd=self.folder).strip()

    @property
    def log(self) -> str:
        return "\n".join(file.read_text() for file in sorted((self.folder / "chain/slurm").glob("*.out")))

    @property
    def steps(self) -> list[int]:
        """The steps of the curve: what a later start has done again stands once."""
        return [line["step"] for line in read_training(self.run) if line["event"] == "step"]

    @property
    def starts(self) -> list[int]:
        """The step at which each start began."""
        return [line["step"] for line in read(self.run) if line["event"] in ("start", "restart")]

    @property
    def marks(self) -> list[str]:
        """What its script noted of itself, with the restarts before: '75 0'."""
        lines = (self.folder / f"chain/slurm/exits/{self.id}.log").read_text().splitlines()
        return [" ".join(line.split()[1:3]) for line in lines]

    def is_further(self, starts: int, further: int = FURTHER) -> bool:
        """Tell whether the start of this number has come so many steps further."""
        began = self.starts
        return len(began) >= starts and any(step >= began[-1] + further for step in self.steps[-1:])

    def reach(self, starts: int, further: int = FURTHER, *, what: str = "further steps") -> None:
        """Wait for it."""
        wait_for(lambda: self.is_further(starts, further), what=f"{what}\n{self.log[-3000:]}")

    def ranks(self) -> list[int]:
        """Return the processes of the ranks that train by this config."""
        return self._processes(b"\0CORGI_LAUNCHER=")

    def shell(self) -> int:
        """Return the process of the job's own shell."""
        script = re.compile(rf"{re.escape(str(self.cluster.folder))}/spool-\w+/job0*{self.id}/slurm_script")
        (shell,) = (
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if script.search(_read(folder / "cmdline")) and _is_first(folder)
        )
        return shell

    def is_whole(self) -> None:
        """Check that the curve has no gap and no step twice, and that checkpoints are committed or not there."""
        steps = self.steps
        assert steps == list(range(1, len(steps) + 1)), self.log[-3000:]
        assert len(committed(self.run)) in (2, 3)  # as it runs on, the oldest may still have to go
        assert all(line["world_size"] == 2 for line in read(self.run) if line["event"] in ("start", "restart"))

    def _processes(self, word: bytes) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = str(self.file) in (folder / "cmdline").read_text()
                if is_ours and word in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return sorted(found)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_first(folder: Path) -> bool:
    """Tell a shell from those that it has forked."""
    parent = _read(folder / "stat").rpartition(")")[2].split()[1:2]
    return bool(parent) and "slurm_script" not in _read(Path(f"/proc/{parent[0]}/cmdline"))
