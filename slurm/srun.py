"""The lines of a training script: where the nodes meet, and a launcher on every node by srun.

srun, one task a node -> training.launcher, which looks after the ranks of its node
"""

from collections.abc import Sequence
from pathlib import Path
from shlex import join

from .config import JobSettings, Setting
from .script import Runner

RENDEZVOUS = Path(__file__).parent / "rendezvous.sh"


def launch_lines(
    settings: JobSettings, file: Path, runner: Runner, *, processes: int, flags: Sequence[str] = ()
) -> list[str]:
    """Return bash that trains the stage of `file` on all nodes of the job.

    processes: of a node, where the chain does not say; flags: of `corgi train`.
    A node that leaves with 75 says so by a file, and ends with 0: srun would kill the others while they leave, too. So
    does one whose launcher was told to leave while it did not listen: by us, or by srun where another node has failed,
    whose code then counts. The text in double quotes is read twice: here, on the first node, and there, on each. What a
    node must fill in itself is escaped.
    """
    words = [str(file), *(word for setting in settings.all("overrides") for word in setting.value), *flags]
    each, hosts, cpus = _processes(settings, processes), _hosts(settings), settings.get("cpus")
    threads = [f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{max(1, cpus.value // each.value)}}}"] if cpus else []
    return [
        RENDEZVOUS.read_text(encoding="utf-8"),
        f"meet {hosts.value}  # {hosts.key}",
        f"# processes of a node: {each.key}",
        *threads,
        f"step srun --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 {join(runner.srun)}".rstrip()
        + f' bash -c "trap : USR1 TERM; code=0; {in_double_quotes(join(runner.words))} -m training.launcher \\',
        rf"  --nodes=$SLURM_NNODES --node=\$SLURM_PROCID --processes={each.value} " + "\\",
        "  --meet=$MASTER_ADDR:$MASTER_PORT \\",
        f"  {in_double_quotes(join(words))} || code=\\$?",
        r"  case \$code in 75) touch \"\$mark.stopped\" ;; 138 | 143) touch \"\$mark.told\" ;; *) exit \$code ;; esac"
        + '"',
    ]


def in_double_quotes(text: str) -> str:
    """Return bash text that comes out of double quotes as it was."""
    for special in '\\"$`':  # the backslash first
        text = text.replace(special, f"\\{special}")
    return text


def _processes(settings: JobSettings, otherwise: int) -> Setting:
    given = settings.get("processes_per_node") or settings.get("gpus_per_node")
    return given or Setting(otherwise, "`processes` of the stage's config")


def _hosts(settings: JobSettings) -> Setting:
    nodes = settings.or_else("nodes", 1)
    return Setting("one", nodes.key) if nodes.value == 1 else settings.or_else("hosts", "many")
