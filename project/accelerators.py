"""GPUs and the processes on them: are they there, does this torch see them, do they hear each other?"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from slurm.health import Finding
from storage.processes import child_environment

ALL_REDUCE = Path(__file__).with_name("all_reduce.py")
QUERY = "name,memory.total,memory.used,ecc.errors.uncorrected.volatile.total"
BUSY_SHARE = 0.5
ASK_S, MEET_S = 20, 180


def gpus() -> Iterator[Finding]:
    """Look at NVIDIA's GPUs by its own program, which is quick and loads no library."""
    try:
        asked = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=ASK_S, check=False)
    except FileNotFoundError:
        yield Finding("gpus", "absent", "none by NVIDIA; trainings run on the CPU")
        return
    except subprocess.TimeoutExpired:
        yield Finding("gpus", "broken", f"nvidia-smi gave no answer in {ASK_S} s", "reboot the node, or leave it out")
        return
    if answer.returncode:
        said = " ".join((answer.stdout or answer.stderr).split())[:200]
        yield Finding("gpus", "broken", f"nvidia-smi: {said}", "the driver is not well; leave the node out")
        return
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    sick = [number for number, row in enumerate(rows) if row[3].isdecimal() and int(row[3])]
    busy = [number for number, row in enumerate(rows) if int(row[2]) > BUSY_SHARE * int(row[1])]
    if sick:
        yield Finding(
            "gpus", "broken", f"GPU {_listed(sick)}: memory errors that were not corrected", "leave the node out"
        )
    elif busy:
        yield Finding(
            "gpus", "doubtful", f"GPU {_listed(busy)}: memory is held by another process", "end it, or take another"
        )
    else:
        names = sorted({row[0] for row in rows})
        yield Finding("gpus", "ok", f"{len(rows)}: {', '.join(names)}")


def networks() -> Iterator[Finding]:
    """Look whether the networks that NCCL is told to use are there; whether it works is tried by `collectives`."""
    asked = os.environ.get("NCCL_SOCKET_IFNAME", "")
    if not asked or asked.startswith("^"):  # it may choose, of all or of all but some
        return
    there, wanted = [name for _, name in socket.if_nameindex()], asked.removeprefix("=").split(",")
    if any(name in wanted if asked.startswith("=") else name.startswith(tuple(wanted)) for name in there):
        yield Finding("nccl", "ok", f"NCCL_SOCKET_IFNAME={asked} is there")
        return
    mend = f"slurm.train.env.NCCL_SOCKET_IFNAME: this node has {', '.join(there)}"
    yield Finding("nccl", "broken", f"NCCL_SOCKET_IFNAME={asked}: no such network", mend)


def collectives(*, has_gpus: bool) -> Iterator[Finding]:
    """Look whether the launcher starts processes that add numbers together: by NCCL on all GPUs, else by gloo."""
    began = time.monotonic()
    words = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={'gpu' if has_gpus else 2}",
        str(ALL_REDUCE),
    ]
    environment = {**child_environment(), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=MEET_S, check=False
        )
    except subprocess.TimeoutExpired:
        mend = "NCCL_DEBUG=INFO tells where it hangs; NCCL_SOCKET_IFNAME names the network to use" if has_gpus else ""
        yield Finding(
            "launcher", "broken", f"its processes did not meet in {MEET_S} s", mend or "look for a firewall on loopback"
        )
        return
    said = done.stdout.split()
    if done.returncode or len(said) < 2:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
        mend = (
            "install the CUDA build of torch (docs/index.md says how)"
            if has_gpus
            else "torch is not well; install it anew"
        )
        yield Finding("launcher", "broken", last, mend)
        return
    yield Finding("launcher", "ok", f"{said[1]} processes met by {said[0]} in {time.monotonic() - began:.0f} s")


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
