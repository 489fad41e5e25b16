"""Is the cluster well, as far as this machine can see it? And what a finding of `corgi doctor` is."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from typing import Literal, NamedTuple

from configs import UserError, shortened

from . import scheduler

PROGRAMS = ("sbatch", "squeue", "scancel", "srun", "scontrol")
SLURMD_PORT = 6818
NO_CLUSTER = "DNS SRV lookup failed"  # what the programs say where neither a slurm.conf nor a name leads to a cluster
REACH_S = 3.0
SAID_CHARS = 160  # of what SLURM says itself
MOST_NODES = 3  # of a job that are named

Health = Literal["ok", "absent", "doubtful", "broken"]


class Finding(NamedTuple):
    """What one look came to."""

    name: str
    health: Health  # absent: it is not here, and need not be; doubtful: it may do harm
    said: str
    mend: str = ""  # what a person does about it


def cluster() -> Iterator[Finding]:
    """Look at SLURM's programs, its controller, and what it allows."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if len(lacking) == len(PROGRAMS):
        yield Finding("slurm", "absent", "no SLURM on this machine; `corgi run` goes the whole way on it")
        return
    if lacking:
        yield Finding(
            "slurm", "broken", f"no {', '.join(lacking)} on PATH", "install the rest of SLURM's client programs"
        )
        return
    try:
        told = dict(re.findall(r"^(\w+)\s*=\s*(\S+)", scheduler.config(), re.MULTILINE))
    except UserError as error:
        mend = "`scontrol ping` says whether the controller is up; ask the site"
        if NO_CLUSTER in str(error):
            yield Finding(
                "slurm", "absent", "its programs are here, and no cluster that they know of; `corgi run` needs none"
            )
            return
        yield Finding("slurm", "broken", shortened(str(error), SAID_CHARS), mend)
        return
    yield Finding("slurm", "ok", f"{told.get('SLURM_VERSION', 'unknown version')}, the controller answers")
    requeue = told.get("JobRequeue") == "1"
    said = f"jobs {'may' if requeue else 'are not to'} be requeued, arrays end below {told.get('MaxArraySize', '1001')}"
    mend = "" if requeue else "slurm.preemption=singleton in the chain needs no requeue"
    yield Finding("requeue", "ok" if requeue else "doubtful", said, mend)
    if "none" in told.get("AccountingStorageType", "none"):
        yield Finding("accounting", "absent", "none is kept here; `corgi status` needs none")


def nodes() -> Iterator[Finding]:
    """Look, within a job of several nodes, whether they have addresses and the first of them can be reached."""
    listed = os.environ.get("SLURM_JOB_NODELIST", "")
    if "," not in listed and "[" not in listed:  # one, as in most jobs
        return
    try:
        names = scheduler.hostnames(listed)
        port = re.search(r"^SlurmdPort\s*=\s*(\d+)", scheduler.config(), re.MULTILINE)
    except UserError as error:
        yield Finding("head node", "doubtful", str(error), "`scontrol` must work on the nodes")
        return
    unknown = [name for name in names if not _address(name)]
    if unknown:
        shown = ", ".join(unknown[:MOST_NODES])
        mend = "ask the site to put the nodes into /etc/hosts or DNS; slurm.train.hosts=one trains on one machine"
        yield Finding("head node", "broken", f"no address by the name of {shown}", mend)
        return
    if is_reached(names[0], int(port[1]) if port else SLURMD_PORT):
        yield Finding("head node", "ok", f"{names[0]} of {len(names)} nodes can be reached")
    else:
        mend = "look for a firewall between the nodes, or leave the node out: slurm.sbatch: ['--exclude=...']"
        yield Finding("head node", "broken", f"{names[0]} cannot be reached from here", mend)


def is_reached(host: str, port: int) -> bool:
    """Tell whether a host answers; one that refuses the port does, too."""
    try:
        socket.create_connection((host, port), timeout=REACH_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def _address(name: str) -> str | None:
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None
