"""What a machine is, in a few words: "AMD EPYC 7B13, 8 cores, 32 GB, NVIDIA H100 x 2". No library of GPUs is loaded."""

import os
import platform
import re
from collections import Counter
from pathlib import Path

CPUS = Path("/proc/cpuinfo")
GPUS = Path("/proc/driver/nvidia/gpus")


def machine() -> str:
    """Return processor, cores this process may use, memory, and NVIDIA's GPUs as far as they are to be seen."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = Counter(_value(path, "Model") for path in sorted(GPUS.glob("*/information")))
    named = ", ".join(f"{model} x {count}" for model, count in gpus.items() if model)
    words = f"{cores} cores" if cores > 1 else "1 core"
    return ", ".join([_value(CPUS, "model name") or platform.machine(), words, f"{memory:.0f} GB", named or "no GPU"])


def cores_of_task() -> int | None:
    """Return how many cores SLURM gave the task that this process is of; None outside a job.

    Where nobody asked for a number, SLURM tells none for the task; then it is those this process is bound to, and no
    more than the job has on this node, since not every cluster binds.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return None
    for_task, on_node = (os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"))
    if for_task.isdigit() and int(for_task):
        return int(for_task)
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(bound, int(on_node)) if on_node.isdigit() and int(on_node) else bound


def allotted() -> tuple[int, int]:
    """Return the cores and GPUs of this node that SLURM gave to this task; outside a job all that it may use."""
    cores, gpus = cores_of_task(), os.environ.get("SLURM_GPUS_ON_NODE", "")
    return counted(machine()) if cores is None else (cores, int(gpus) if gpus.isdigit() else 0)


def counted(text: str) -> tuple[int, int]:
    """Return the cores and GPUs of a machine from its words, as `machine` says them."""
    cores = re.search(r"(?:^|, )(\d+) cores?(?:,|$)", text)
    return int(cores[1]) if cores else 0, sum(map(int, re.findall(r" x (\d+)(?:,|$)", text)))


def _value(path: Path, key: str) -> str:
    """Return what stands after `key :` in the first line that begins so; empty where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((" ".join(line.partition(":")[2].split()) for line in lines if line.startswith(key)), "")
