"""The lines of a training script: where the processes meet, and torchrun on every node by srun.

srun, one task a node -> torchrun -> training.launch, one a process
"""

from pathlib import Path
from shlex import join

from .config import Asked, Setting

RENDEZVOUS = Path(__file__).parent / "rendezvous.sh"


def launch_lines(asked: Asked, file: Path, *, processes: int) -> list[str]:
    """Bash that trains the stage of `file` on all nodes of the job. processes: of a node, where the job does not say.

    The text in double quotes is read twice: here, on the first node, and there, on each. What a node must fill in
    itself is escaped. The id of the rendezvous holds the restarts, so that a requeued job does not meet its own ghost.
    """
    words = [str(file), *(word for found in asked.all("overrides") for word in found.value)]
    each, hosts, cpus = _processes(asked, processes), _hosts(asked), asked.get("cpus")
    here = "127.0.0.1" if hosts.value == "one" else r"\$SLURMD_NODENAME"
    threads = [f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{max(1, cpus.value // each.value)}}}"] if cpus else []
    return [
        RENDEZVOUS.read_text(encoding="utf-8"),
        f"meet {hosts.value}  # {hosts.key}",
        f"# processes of a node: {each.key}",
        *threads,
        "srun --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60"
        + (f" --cpus-per-task={cpus.value}" if cpus else "")  # srun does not take it over from sbatch
        + ' bash -c "exec python -m torch.distributed.run \\',
        f"  --nnodes=$SLURM_NNODES --nproc-per-node={each.value} --rdzv-backend=c10d \\",
        "  --rdzv-endpoint=$MASTER_ADDR:$MASTER_PORT --rdzv-id=$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0} \\",
        rf"  --rdzv-conf=is_host=\$((\$SLURM_PROCID == 0)) --local-addr={here} " + "\\",
        f'  -m training.launch {in_double_quotes(join(words))}"',
    ]


def in_double_quotes(text: str) -> str:
    """Bash text that comes out of double quotes as it was."""
    for special in '\\"$`':  # the backslash first
        text = text.replace(special, f"\\{special}")
    return text


def _processes(asked: Asked, otherwise: int) -> Setting:
    given = asked.get("processes_per_node") or asked.get("gpus_per_node")
    return given or Setting(otherwise, "`processes` of the stage's config")


def _hosts(asked: Asked) -> Setting:
    nodes = asked.or_else("nodes", 1)
    return Setting("one", nodes.key) if nodes.value == 1 else asked.or_else("hosts", "many")
