"""`corgi run`: the whole way, by the same commands that a person types, each printed before it runs.

    plan, download (or adopt) ... index, report      train, a stage each      evaluate, report

Every command is a process of its own: it gives its memory back, and a kill of one spoils nothing of another. What is
done is passed over, so the same `corgi run` goes on after a kill at any moment.
"""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from configs import UserError, load, refuse
from configs.steps import entries_of
from pipeline.config import PipelineConfig
from pipeline.status import status_of
from storage.ledger import note
from storage.processes import child_environment
from storage.run import trainings_of
from training.config import TrainConfig
from training.launcher import STOPPED

from .check import problems_of
from .files import Project
from .work import is_trained

INTERRUPTED = 130
PATIENCE_S = 10.0  # that an interrupted command has to end by itself
PASSED_ON = (signal.SIGTERM, signal.SIGUSR1)  # on which a training saves and leaves
Around = Callable[[str], AbstractContextManager[object]]  # what a command of this name runs within


@dataclass(frozen=True)
class Whole:
    """One way from its beginning to its end. typed: the command that goes on with it, for people.

    after_evaluate: what there is to do between the evaluation and the last report.
    """

    project: Project
    typed: str
    around: Around = lambda _: nullcontext()
    after_evaluate: Callable[[], None] = lambda: None

    def go(self) -> None:
        """Run every command that has something to do. Raises UserError with the exit code of one that failed."""
        refuse(problems_of(replace(self.project, chain=None)))  # nothing is asked of a cluster
        pipeline = load(PipelineConfig, self.project.pipeline) if self.project.pipeline else None
        if pipeline is not None and self.project.pipeline:
            self.steps(self.project.pipeline, pipeline)
        for file in self.project.stages:
            self.train(file, load(TrainConfig, file), pipeline.run if pipeline else None)
        if pipeline is not None and self.project.stages and trainings_of(pipeline.run):
            self.command(pipeline.run, "evaluate", pipeline.run)
            self.after_evaluate()
            self.command(pipeline.run, "report", self.project.pipeline)

    def steps(self, file: Path, config: PipelineConfig) -> None:
        """Run the pipeline's steps that have something to do, and where one had, the report."""
        is_new = False
        for entry in entries_of(config.way):
            if entry.way != "shards" and status_of(entry.name, config).is_done:  # adopt itself looks for new pictures
                print(f"{entry.name}: done already", flush=True)
                continue
            self.command(config.run, entry.name, file)
            is_new = is_new or entry.way != "shards"
        if is_new or not self.project.stages:
            self.command(config.run, "report", file)

    def train(self, file: Path, config: TrainConfig, run: Path | None) -> None:
        """Train a stage, unless it was trained to its last step by this config on these pairs."""
        if is_trained(config):
            print(f"train {config.stage.name}: done already", flush=True)
            return
        self.command(run or config.run, "train", file, noted=f"train {config.stage.name}")

    def command(self, run: Path, name: str, argument: Path | None, *, noted: str | None = None) -> None:
        """Print and run one command. noted: what the ledger of the run calls it; None: its name."""
        words = [name, str(argument)]
        typed = shlex.join(["corgi", *words])
        print(f"\n$ {typed}", flush=True)
        began = time.monotonic()
        with self.around(name):
            code = call([sys.executable, "-m", "corgi", *words])
        if run.is_dir():
            note(
                run, event="command", command=noted or name, seconds=round(time.monotonic() - began, 2), exit_code=code
            )
        if code == STOPPED:
            raise UserError(f"stopped, as asked; `{self.typed}` goes on from there", exit_code=STOPPED)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            remedy = f"mend what it says above; `{self.typed}` goes on from there"
            raise UserError(f"`{typed}` ended with {code}; {remedy}", exit_code=max(code, 1))


def call(words: Sequence[str]) -> int:
    """Run a command to its end and return its exit code. What asks this process to stop is passed on to it."""
    process = subprocess.Popen(words, env=child_environment())
    with _passing_on(process):
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # of a terminal; it has told the command, too, which says what follows
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(PATIENCE_S)
                process.terminate()


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
