"""What a machine is, in a few words: "AMD EPYC 7B13, 8 cores, 32 GB, NVIDIA H100 x 2". No library of GPUs is loaded."""

import os
import platform
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


def _value(path: Path, key: str) -> str:
    """Return what stands after `key :` in the first line that begins so; empty where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((" ".join(line.partition(":")[2].split()) for line in lines if line.startswith(key)), "")
