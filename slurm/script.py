"""The sbatch text of one job: options, each with the key that set it; marks; the environment; the command.

The interpreter is named by its whole path and its folder put before PATH after `modules` and `setup`, so that no module
puts another Python in its place. Commands run as a step of srun, which passes signals on to them.
"""

from collections.abc import Iterator
from pathlib import Path
from shlex import join, quote
from typing import NamedTuple

from configs import printable

from .config import ChainConfig, JobSettings, Setting

SIMPLE_OPTIONS = {
    "partition": "--partition={}",
    "account": "--account={}",
    "qos": "--qos={}",
    "constraint": "--constraint={}",
    "cpus": "--cpus-per-task={}",
    "time_min": "--time={}",  # a plain number is minutes
    "gpus_per_node": "--gpus-per-node={}",
    "gres": "--gres={}",
}
NOTE_COLUMN = 64
JOB = Path(__file__).parent / "job.sh"
RESTARTS = {"requeue": 100, "singleton": 3}
SIGNAL_S = {"train": 300}  # of jobs that save; the others lose what is in hand
OTHERS_SIGNAL_S = 60
LOOK_S = 120  # of a look at the nodes; it takes a second or two where no file server hangs


class Place(NamedTuple):
    """Where and by what the chain is submitted."""

    file: Path  # the chain's YAML
    cwd: Path  # where the commands run
    python: Path  # the interpreter


class Draft(NamedTuple):
    """What a script is made of."""

    name: str
    settings: JobSettings
    size: list[Setting]  # options that say how many tasks or nodes
    commands: list[str]  # bash
    is_array: bool = False
    restarts: int = 0  # how many jobs of the same commands came before, where each is a job of its own


class Runner:
    """How a command of ours is started within a job."""

    def __init__(self, settings: JobSettings, place: Place) -> None:
        image, by = settings.get("container"), settings.or_else("container_by", "pyxis").value
        mounts = [f"{place.cwd}:{place.cwd}", *(mount for each in settings.all("mounts") for mount in each.value)]
        self.is_here = image is None  # not in a container
        self.is_unpacked_by_srun = image is not None and by == "pyxis"
        self.python = settings.or_else("python", "python3" if image else str(place.python))
        cpus = settings.get("cpus")
        self.srun = [f"--cpus-per-task={cpus.value}"] if cpus else []  # srun does not take it over from sbatch
        self.words = [self.python.value]
        if image and by == "pyxis":
            where = [f"--container-mounts={','.join(mounts)}", f"--container-workdir={place.cwd}"]
            self.srun += [f"--container-image={image.value}", *where]
        elif image:
            binds = [word for mount in mounts for word in ("--bind", mount)]
            gpus = ["--nv"] if settings.get("gpus_per_node") or settings.get("gres") else []
            self.words = ["apptainer", "exec", *gpus, *binds, "--pwd", str(place.cwd), image.value, *self.words]

    def step(self, *words: str, bash: str = "") -> str:
        """Return the line that runs `corgi` with these words as one task. bash: words that bash fills in."""
        srun = ["srun", "--nodes=1", "--ntasks=1", "--kill-on-bad-exit=1", *self.srun]
        return f"step {join([*srun, *self.words, '-m', 'corgi', *words])} {bash}".rstrip()

    def look(self, run: Path, settings: JobSettings) -> str:
        """Return the line that looks at each node of the job."""
        health = settings.or_else("health", True)
        if not health.value:
            return _noted("# no look at the nodes", health.key)
        if self.is_unpacked_by_srun:
            return "# no look at the nodes: each step of srun would unpack the image once more"
        nodes = settings.or_else("nodes", 1).value
        srun = ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", *(["--label"] if nodes > 1 else []), *self.srun]
        one = ["--one-machine"] if nodes > 1 and settings.or_else("hosts", "many").value == "one" else []
        doctor = [*self.words, "-m", "corgi", "doctor", str(run), "--job", *one]
        return f"well timeout --kill-after=10 {LOOK_S} {join([*srun, *doctor])}"


def script(chain: ChainConfig, place: Place, draft: Draft) -> str:
    """Return the sbatch text."""
    ids = "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if draft.is_array else "$SLURM_JOB_ID"
    task = "_$SLURM_ARRAY_TASK_ID" if draft.is_array else ""
    preemption, restarts = preemption_of(chain), restarts_of(chain, draft.settings)
    lines = [
        "#!/bin/bash",
        f"# {draft.name}, a job of {printable(str(place.file))}.",
        "# Written by `corgi submit`; what should differ belongs into that file.",
        *(_noted(f"#SBATCH {setting.value}", setting.key) for setting in _options(chain, place, draft)),
        "",
        "set -eo pipefail",
        _noted(f"preemption={preemption.value}", preemption.key),
        _noted(f"restarts={restarts.value}", restarts.key),
        f"marks={quote(str(chain.folder / 'exits'))}",
        JOB.read_text(encoding="utf-8"),
        f'begin "{ids}"',
        *([f'follow "$1{task}" {draft.restarts}  # $1: id of the job before'] if draft.restarts else []),
        "",
        "export PYTHONSAFEPATH=1  # a folder here that is called like one of ours stays out of it",
        "export PYTHONUNBUFFERED=1  # the log of a killed job is whole",
        *_environment(draft.settings, place),
        Runner(draft.settings, place).look(chain.run, draft.settings),
        *draft.commands,
        "finish",
    ]
    return "\n".join(lines) + "\n"


def preemption_of(chain: ChainConfig) -> Setting:
    """Return how what was stopped early goes on."""
    is_given = "preemption" in chain.slurm.model_fields_set
    return Setting(chain.slurm.preemption, "slurm.preemption" + ("" if is_given else ", default"))


def restarts_of(chain: ChainConfig, settings: JobSettings) -> Setting:
    """Return how often a job is taken up again."""
    return settings.or_else("restarts", RESTARTS[chain.slurm.preemption])


def _options(chain: ChainConfig, place: Place, draft: Draft) -> Iterator[Setting]:
    """Yield sbatch options with the keys that set them."""
    log = str(chain.folder).replace("%", "%%") + ("/%x-%A_%a.out" if draft.is_array else "/%x-%j.out")
    yield Setting(f"--job-name={quote(f'{(place.cwd / chain.run).name}-{draft.name}')}", "run")
    yield Setting(f"--output={quote(log)}", "run")
    yield Setting("--open-mode=append", "always")
    yield Setting(f"--chdir={quote(str(place.cwd))}", "always: where `corgi submit` ran")
    yield Setting("--kill-on-invalid-dep=yes", "always")
    preemption = preemption_of(chain)
    yield Setting("--requeue" if preemption.value == "requeue" else "--no-requeue", preemption.key)
    yield _signal(draft)
    yield from draft.size
    for field, option in SIMPLE_OPTIONS.items():
        if setting := draft.settings.get(field):
            yield Setting(option.format(quote(str(setting.value))), setting.key)
    if memory := draft.settings.get("mem_gb"):
        yield Setting(f"--mem={round(memory.value * 1024)}M", memory.key)
    for lines in draft.settings.all("sbatch"):
        yield from (Setting(line, lines.key) for line in lines.value)


def _signal(draft: Draft) -> Setting:
    kind = draft.name.partition("-")[0]
    time_min = draft.settings.get("time_min")
    usual = SIGNAL_S.get(kind, OTHERS_SIGNAL_S)
    seconds = draft.settings.or_else("signal_s", min(usual, 30 * time_min.value) if time_min else usual)
    return Setting(f"--signal=B:USR1@{seconds.value}", seconds.key)


def _environment(settings: JobSettings, place: Place) -> Iterator[str]:
    """Yield variables and lines of bash, the general ones first; and last of all our programs."""
    for names in settings.all("env"):
        yield from (_noted(f"export {name}={quote(value)}", names.key) for name, value in names.value.items())
    for modules in settings.all("modules"):
        yield from (_noted(f"module load {quote(module)}", modules.key) for module in modules.value)
    for lines in settings.all("setup"):
        yield f"# {lines.key}"
        yield from lines.value
    runner = Runner(settings, place)
    if runner.is_here and Path(runner.python.value).is_absolute():
        yield _noted(f"export PATH={quote(str(Path(runner.python.value).parent))}:$PATH", runner.python.key)


def _noted(line: str, key: str) -> str:
    return f"{line.ljust(NOTE_COLUMN)} # {key}"
