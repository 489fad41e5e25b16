"""From a chain to sbatch texts and edges: a pure function of the chain, of its place, and of what is left to do.

    plan -> download -> score -> dedup -> select -> embed -> index -> train-base64, ... -> evaluate -> report
             (array)   (array)           (array)  (array)                               -> demo (array)

The commands are those that a person types. The report waits for the end of all others, whatever they come to.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join, quote
from typing import NamedTuple

from configs.steps import STEPS, Way, entries_of

from .arrays import MAX_ARRAY_SIZE, listed, parts_of, ranks_of, size_of
from .config import ChainConfig, JobSettings, Setting
from .script import Draft, Place, Runner, restarts_of, script
from .srun import launch_lines

TRACKERS = {
    "tensorboard": ["--to", "tensorboard"],
    "wandb_offline": ["--offline"],
    "wandb": [],
}  # of `logging` -> words of `corgi sync`


class Job(NamedTuple):
    """One job of the chain."""

    name: str  # download, train-base64
    step: str  # what it is a part of; its name unless that has a number
    after: list[str]  # names of the jobs that must succeed first
    script: str  # the sbatch text
    after_any: list[str] = []  # names of the jobs that must have ended, however
    indices: tuple[int, ...] | None = None  # of an array; None: not an array
    offset: int = 0  # rank of index 0
    follows: str | None = None  # the job of the same commands that it goes on with, where that was stopped early


class Work(NamedTuple):
    """What the files tell of the run and of its stages."""

    way: Way = "table"  # how the pipeline's run begins
    shards: int | None = None  # None: there is no plan yet
    left: Mapping[str, Sequence[int]] = {}  # step -> numbers of shards to make; empty: all is there; absent: not known
    tolerate: int = 0  # shards that may fail of a step
    processes: Mapping[str, int] = {}  # stage -> processes on each node, where the chain does not say
    trainings: Sequence[Path] = ()  # run folders of the stages, lowest first


class Call(NamedTuple):
    """What was asked of `corgi submit`, beside the chain."""

    max_array_size: int = MAX_ARRAY_SIZE  # of the cluster
    accepts_new_data: bool = False  # of trainings
    overrides: Sequence[str] = ()  # of the chain, as the plan's job needs them again
    scorers: Sequence[str] = ()  # one's own: files, or names of entry points
    is_preview: bool = False  # of all jobs, also of those that the plan's job would submit


class Render:
    """One chain on its way to jobs."""

    def __init__(self, chain: ChainConfig, place: Place, work: Work, call: Call) -> None:
        self.chain, self.place, self.work, self.call = chain, place, work, call
        self.jobs: list[Job] = []
        self.ends: dict[str, list[str]] = {}  # step -> jobs whose success says that it is done

    def all(self) -> list[Job]:
        """Return all jobs that have something to do, each after those it waits for."""
        names = [entry.name for entry in entries_of(self.work.way)]
        for name in names:
            self.step(name, [before for before in STEPS[name].after if before in names])
            if name == "plan" and self.jobs and self._is_planned_first() and not self.call.is_preview:
                return self.jobs  # its job submits the rest
        for file in self.chain.train:
            self.train(file)
        stages = [f"train-{file.stem}" for file in self.chain.train]
        if stages:
            self.command("evaluate", ["evaluate", str(self.chain.run)], stages)
        if stages and self.chain.demo:
            self.demo(self.chain.demo, stages)
        before = [job.name for job in self.jobs]
        self.command("report", ["report", str(self.chain.pipeline)], after_any=before)
        if self.jobs and self.chain.logging:
            self.sync()
        return self.jobs

    def step(self, name: str, after: Sequence[str]) -> None:
        """Add the jobs of one of the pipeline's steps."""
        words = [name, str(self.chain.pipeline)]
        if name in ("score", entries_of(self.work.way)[0].name):  # the first step checks the rules' columns
            words += self._scorers()
        if STEPS[name].kind == "table":
            rest = self._rest() if name == "plan" and self._is_planned_first() else []
            self.command(name, words, after, then=rest)
            return
        self.array(name, words, after, shards=self.work.shards)
        if self.work.tolerate and self.ends[name]:
            verdict = f"{name}-verdict"
            self.command(verdict, [*words, "--verdict"], after_any=self.ends[name], settings=name)
            self.ends[name] = self.ends[verdict]

    def command(
        self,
        name: str,
        words: Sequence[str],
        after: Sequence[str] = (),
        *,
        after_any: Sequence[str] = (),
        then: Sequence[str] = (),
        settings: str | None = None,
    ) -> None:
        """Add a job of one command on one machine. after: steps; after_any: jobs; settings: whose it has."""
        asked = JobSettings(self.chain, settings or name)
        lines = [Runner(asked, self.place).step(*words), *then]
        self._add(Draft(name, asked, [], lines), after, after_any)

    def sync(self) -> None:
        """Add the job that tells trackers of the run, and of trainings that lie elsewhere, whatever all came to."""
        run = self.chain.run
        elsewhere = [each for each in self.work.trainings if run.absolute() not in each.absolute().parents]
        runner = Runner(JobSettings(self.chain, "sync"), self.place)
        lines = [
            runner.step("sync", str(folder), *TRACKERS[tracker])
            for tracker in TRACKERS  # those first that need no network
            if tracker in self.chain.logging
            for folder in (run, *elsewhere)
        ]
        self._add(
            Draft("sync", JobSettings(self.chain, "sync"), [], lines), after_any=[each.name for each in self.jobs]
        )

    def array(self, name: str, words: Sequence[str], after: Sequence[str], *, shards: int | None) -> None:
        """Add a step's array, in parts where the cluster takes no larger ones, of tasks with something to do."""
        settings, left = JobSettings(self.chain, name), self.work.left.get(name)
        tasks, at_once = settings.get("tasks"), settings.get("at_once")
        size = size_of(tasks.value if tasks else None, shards)
        ranks = ranks_of(size, left)
        limit = self.call.max_array_size
        parts = parts_of(ranks, limit=limit, at_once=at_once.value if at_once else None)
        keys = [tasks.key if tasks else f"slurm.{name}.tasks, default", *([at_once.key] if at_once else [])]
        workers = settings.get("workers") or settings.get("cpus")
        self.ends[name] = []
        for number, part in enumerate(parts, start=1):
            share = f"--rank $(({part.offset} + SLURM_ARRAY_TASK_ID)) --world-size {size}"
            share += f" --workers {workers.value}" if workers else ""
            line = Runner(settings, self.place).step(*words, bash=share)
            spec = f"--array={listed(part.indices)}" + (f"%{part.at_once}" if part.at_once else "")
            job = f"{name}-{number}" if len(parts) > 1 else name
            draft = Draft(job, settings, [Setting(spec, "; ".join(keys))], [line], is_array=True)
            self._add(draft, after, indices=part.indices, offset=part.offset, step=name)

    def train(self, file: Path) -> None:
        """Add the training of a stage."""
        name = f"train-{file.stem}"
        settings = JobSettings(self.chain, "train", stage=file.stem)
        nodes = settings.or_else("nodes", 1)
        size = [Setting(f"--nodes={nodes.value}", nodes.key), Setting("--ntasks-per-node=1", "always")]
        flags = ["--accept-new-data"] if self.call.accepts_new_data else []
        processes = self.work.processes.get(file.stem, 1)
        lines = launch_lines(settings, file, Runner(settings, self.place), processes=processes, flags=flags)
        self._add(Draft(name, settings, size, lines), ["index"])

    def demo(self, vocabulary: Path, stages: Sequence[str]) -> None:
        """Add the array that draws every sentence of a vocabulary."""
        folders = [str(folder) for folder in self.work.trainings]
        words = ["demo", "compile", str(vocabulary), *folders, "--out", str(self.chain.run / "demo")]
        self.array("demo", words, stages, shards=None)

    def _add(
        self,
        draft: Draft,
        after: Sequence[str] = (),
        after_any: Sequence[str] = (),
        *,
        indices: tuple[int, ...] | None = None,
        offset: int = 0,
        step: str | None = None,
    ) -> None:
        """Add a job, unless its step has nothing left to do. after: steps."""
        step = step or draft.name
        ends = self.ends.setdefault(step, [])
        if self.work.left.get(step) == []:
            return
        copies = restarts_of(self.chain, draft.settings).value if self.chain.slurm.preemption == "singleton" else 0
        names = [draft.name, *(f"{draft.name}.{number}" for number in range(1, copies + 1))]
        needed = [name for before in after for name in self.ends.get(before, [])]
        for number, name in enumerate(names):
            follows = names[number - 1] if number else None
            ended = [follows] if follows else list(after_any)
            text = script(self.chain, self.place, draft._replace(name=name, restarts=number))
            self.jobs.append(Job(name, step, needed, text, ended, indices, offset, follows))
        ends.append(names[-1])

    def _scorers(self) -> list[str]:
        return [word for given in self.call.scorers for word in ("--scorers", given)]

    def _is_planned_first(self) -> bool:
        return self.chain.slurm.arrays == "planned"

    def _rest(self) -> list[str]:
        """Return the line that submits what comes after the plan, from its job."""
        settings = JobSettings(self.chain, "plan")
        is_elsewhere = settings.get("container") is not None  # where there may be no sbatch
        python = settings.or_else("python", str(self.place.python)).value
        python = str(self.place.python) if is_elsewhere else python
        flags = ["--accept-new-data"] if self.call.accepts_new_data else []
        words = [python, "-m", "corgi", "submit", str(self.place.file), *self.call.overrides, *flags, *self._scorers()]
        said = "the rest is not submitted; `corgi submit` goes on, and slurm.arrays=asked submits all at once"
        return [
            "# How large the arrays are is known now.",
            f"{join(words)} || {{ echo {quote(f'corgi: {said}')} >&2; exit 1; }}",
        ]


def render(chain: ChainConfig, place: Place, work: Work = Work(), call: Call = Call()) -> list[Job]:
    """Return all jobs, each after those it waits for."""
    return Render(chain, place, work, call).all()
