"""From a chain to sbatch texts and edges: a pure function of the chain and of the place it is submitted from.

    plan -> download -> score -> dedup -> select -> embed -> index -> report
             (array)   (array)           (array)  (array)          -> train-base64, train-sr256, ...

Every line that asks the cluster for something notes the config key that set it. The commands are those that a person
types; the scripts keep a mark each in slurm/exits/, so that `corgi status` needs no accounting.
"""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple

from configs import printable
from configs.steps import STEPS, Way, entries_of

from .config import ChainConfig, JobSettings, Setting
from .torchrun import launch_lines

SIMPLE_OPTIONS = {
    "partition": "--partition={}",
    "account": "--account={}",
    "qos": "--qos={}",
    "cpus": "--cpus-per-task={}",
    "time_min": "--time={}",  # a plain number is minutes
    "gpus_per_node": "--gpus-per-node={}",
}
NOTE_COLUMN = 64


class Job(NamedTuple):
    """One job of the chain."""

    name: str  # download, train-base64
    after: list[str]  # names of the jobs that must succeed first
    script: str  # the sbatch text
    tasks: int | None = None  # of an array; None: not an array


class Place(NamedTuple):
    """Where and by what the chain is submitted."""

    file: Path  # the chain's YAML
    cwd: Path  # where the commands run
    programs: Path  # folder of `corgi` and `python`, put before PATH


class Draft(NamedTuple):
    """What a script is made of."""

    name: str
    settings: JobSettings
    size: list[Setting]  # options that say how many tasks or nodes
    commands: list[str]
    kind: Literal["job", "array"] = "job"


def render(
    chain: ChainConfig, place: Place, *, processes: dict[str, int] | None = None, way: Way = "table"
) -> list[Job]:
    """Return all jobs, each after those it waits for.

    processes: stage -> processes on each node, where the chain does not say; way: how the pipeline's run begins.
    """
    names = [entry.name for entry in entries_of(way)]
    after = {name: [before for before in STEPS[name].after if before in names] for name in names}
    steps = [_step(chain, place, name, before) for name, before in {**after, "report": ["index"]}.items()]
    return steps + [_stage(chain, place, file, (processes or {}).get(file.stem, 1)) for file in chain.train]


def _step(chain: ChainConfig, place: Place, name: str, after: list[str]) -> Job:
    settings = JobSettings(chain, name)
    command = f"corgi {name} {quote(str(chain.pipeline))}"
    if name not in STEPS or STEPS[name].kind == "table":
        return Job(name, after, script(chain, place, Draft(name, settings, [], [command])))
    tasks, at_once = settings.or_else("tasks", 1), settings.get("at_once")
    array, keys = f"--array=0-{tasks.value - 1}", tasks.key
    if at_once:
        array, keys = f"{array}%{at_once.value}", f"{keys}; {at_once.key}"
    command += " --rank $SLURM_ARRAY_TASK_ID --world-size $SLURM_ARRAY_TASK_COUNT"
    if workers := settings.get("workers") or settings.get("cpus"):
        command += f" --workers {workers.value}"
    draft = Draft(name, settings, [Setting(array, keys)], [command], kind="array")
    return Job(name, after, script(chain, place, draft), tasks.value)


def _stage(chain: ChainConfig, place: Place, file: Path, processes: int) -> Job:
    settings = JobSettings(chain, "train", stage=file.stem)
    nodes = settings.or_else("nodes", 1)
    size = [Setting(f"--nodes={nodes.value}", nodes.key), Setting("--ntasks-per-node=1", "always")]
    draft = Draft(f"train-{file.stem}", settings, size, launch_lines(settings, file, processes=processes))
    return Job(draft.name, ["index"], script(chain, place, draft))


def script(chain: ChainConfig, place: Place, draft: Draft) -> str:
    """Return the sbatch text: options, a mark of beginning and end, the environment, the commands."""
    ids = "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if draft.kind == "array" else "$SLURM_JOB_ID"
    lines = [
        "#!/bin/bash",
        f"# {draft.name}, a job of {printable(str(place.file))}.",
        "# Written by `corgi submit`; what should differ belongs into that file.",
        *(_noted(f"#SBATCH {setting.value}", setting.key) for setting in _options(chain, place, draft)),
        "",
        "set -eo pipefail",
        "# Begun, and how it ended, for a cluster without accounting. A signal leaves 0 in $?, so 0 is no success.",
        f"mark={quote(str(chain.folder / 'exits'))}/{ids}",
        'echo started > "$mark"',
        "trap 'code=$?; [ $code = 0 ] || echo $code > \"$mark\"' EXIT",
        "",
        "export PYTHONSAFEPATH=1  # a folder here that is called like one of ours stays out of it",
        f"export PATH={quote(str(place.programs))}:$PATH",
        *_environment(draft.settings),
        *draft.commands,
        'echo 0 > "$mark"',
    ]
    return "\n".join(lines) + "\n"


def _options(chain: ChainConfig, place: Place, draft: Draft) -> Iterator[Setting]:
    """Yield sbatch options with the keys that set them."""
    log = str(chain.folder).replace("%", "%%") + ("/%x-%A_%a.out" if draft.kind == "array" else "/%x-%j.out")
    yield Setting(f"--job-name={quote(f'{(place.cwd / chain.run).name}-{draft.name}')}", "run")
    yield Setting(f"--output={quote(log)}", "run")
    yield Setting("--open-mode=append", "always")
    yield Setting(f"--chdir={quote(str(place.cwd))}", "always: where `corgi submit` ran")
    yield Setting("--kill-on-invalid-dep=yes", "always")
    yield from draft.size
    for field, option in SIMPLE_OPTIONS.items():
        if setting := draft.settings.get(field):
            yield Setting(option.format(quote(str(setting.value))), setting.key)
    if memory := draft.settings.get("mem_gb"):
        yield Setting(f"--mem={round(memory.value * 1024)}M", memory.key)
    for lines in draft.settings.all("sbatch"):
        yield from (Setting(line, lines.key) for line in lines.value)


def _environment(settings: JobSettings) -> Iterator[str]:
    """Yield variables and lines of bash, the general ones first."""
    for names in settings.all("env"):
        yield from (_noted(f"export {name}={quote(value)}", names.key) for name, value in names.value.items())
    for lines in settings.all("setup"):
        yield f"# {lines.key}"
        yield from lines.value


def _noted(line: str, key: str) -> str:
    return f"{line.ljust(NOTE_COLUMN)} # {key}"
