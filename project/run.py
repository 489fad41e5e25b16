"""`corgi run`: the whole way, by the same commands that a person types, each printed before it runs.

    plan, download (or adopt) ... index, report      train, a stage each      evaluate, report

Every command is a process of its own: it gives its memory back, and a kill of one spoils nothing of another. What is
done is passed over, so the same `corgi run` goes on after a kill at any moment. What asks it to stop is passed on to
the command that runs, of which a training saves and leaves, and no other is begun: SIGTERM and SIGUSR1 end with 75,
Ctrl-C with 130.
"""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from configs import UserError, load, refuse
from configs.steps import entries_of
from pipeline.config import PipelineConfig
from pipeline.ranks import whole_run
from pipeline.status import status_of
from storage.ledger import note
from storage.processes import child_environment
from storage.run import index_of, trainings_of
from training.config import TrainConfig
from training.data.index import read_index
from training.launcher import STOPPED, finished
from training.run_folder import ACCEPT_NEW_DATA, identity, read_config

from .check import problems_of
from .files import Project

INTERRUPTED = 130
PATIENCE_S = 10.0  # that an interrupted command has to end by itself
STOPS = (signal.SIGTERM, signal.SIGUSR1)  # on which a training saves and leaves
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
        with _on_stops(lambda _: self.stop()):
            self._go()

    def _go(self) -> None:
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
        """Train a stage, unless it was trained to its last step by this config.

        Where other pairs are kept now than it was trained on, since a rule was edited say, it goes on with those.
        """
        begun, name = read_config(config.run), f"train {config.stage.name}"
        has_new_data = begun is not None and index_of(config.run) != read_index(config.data).content
        if begun is not None and identity(begun) == identity(config) and finished(config):
            more = f", on the pairs kept before; with more steps in {file} it goes on with those of now"
            print(f"{name}: done already{more * has_new_data}", flush=True)
            return
        further = [ACCEPT_NEW_DATA] if has_new_data else []
        self.command(run, "train", file, *further, noted=name)

    def stop(self) -> NoReturn:
        """Say that the way was not gone to its end because that was asked."""
        raise UserError(f"stopped, as asked; `{self.typed}` goes on from there", exit_code=STOPPED)

    def command(self, run: Path | None, name: str, *arguments: object, noted: str | None = None) -> None:
        """Print and run one command. run: of a pipeline; its ledger calls it by its name, or as `noted` says."""
        words = [name, *map(str, arguments)]
        typed = shlex.join(["corgi", *words])
        print(f"\n$ {typed}", flush=True)
        began = time.monotonic()
        with self.around(name):
            code = call([sys.executable, "-m", "corgi", *words])
        if run is not None and run.is_dir():
            note(
                run, event="command", command=noted or name, seconds=round(time.monotonic() - began, 2), exit_code=code
            )
        if code == STOPPED:
            self.stop()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            remedy = f"mend what it says above; `{self.typed}` goes on from there"
            raise UserError(f"`{typed}` ended with {code}; {remedy}", exit_code=max(code, 1))


def call(words: Sequence[str]) -> int:
    """Run a command to its end and return its exit code: STOPPED or INTERRUPTED where that was asked of this process.

    A terminal tells the command of Ctrl-C, too, and it says what follows. One that does not end by itself is asked to.
    """
    process, asked, is_interrupted = subprocess.Popen(words, env=whole_run(child_environment())), list[int](), False

    def pass_on(number: int) -> None:
        asked.append(number)
        process.send_signal(number)

    with _on_stops(pass_on):
        while True:
            try:
                code = process.wait(PATIENCE_S if is_interrupted else None)
                break
            except KeyboardInterrupt:
                is_interrupted = True
            except subprocess.TimeoutExpired:
                process.terminate()
    return INTERRUPTED if is_interrupted else STOPPED if asked else code


@contextmanager
def _on_stops(act: Callable[[int], None]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda number, _: act(number)) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
