"""The commands of SLURM that we call: sbatch, squeue, scancel, scontrol."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from configs import UserError

KEPT = ("SLURM_CONF", "SLURM_TIME_FORMAT")  # of the environment
OURS = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_")  # begin what would change the answers or outdo the scripts
DEFAULTS = {  # what a person may have set for all jobs, and the option that says it for one
    "SBATCH_ACCOUNT": "--account|-A",
    "SBATCH_CONSTRAINT": "--constraint|-C",
    "SBATCH_PARTITION": "--partition|-p",
    "SBATCH_QOS": "--qos|-q",
    "SBATCH_RESERVATION": "--reservation",
}
TIMEOUT_S = 120  # a controller may be busy for a while


def require() -> None:
    """Raise UserError where this machine has no SLURM."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "no sbatch on this machine: run `corgi submit` on a login node of the cluster, "
            "or look at the scripts with --dry-run"
        )


def sbatch(script: Path, *arguments: object, after: Sequence[object] = (), after_any: Sequence[object] = ()) -> int:
    """Submit a script and return its job id.

    It starts once all jobs of `after` have succeeded, and all of `after_any` have ended.
    """
    command = ["sbatch", "--parsable", *_defaults(script), *dependency(after, after_any), str(script)]
    answer = _run([*command, *map(str, arguments)])
    ids = re.findall(r"^(\d+)(?:;.*)?$", answer, re.MULTILINE)  # id;cluster where there are several
    if not ids:
        raise UserError(f"sbatch gave no job id but {' '.join(answer.split())!r}; see `squeue --me`", exit_code=1)
    return int(ids[-1])  # a site's filter may have said something before


def _defaults(script: Path) -> list[str]:
    """Return the options from a person's environment that the script leaves open: sbatch would prefer them to it."""
    said = script.read_text(encoding="utf-8")
    found = {name: value for name in DEFAULTS if (value := os.environ.get(name))}
    is_open = {name: not re.search(rf"^#SBATCH +({DEFAULTS[name]})\b", said, re.MULTILINE) for name in found}
    return [f"{DEFAULTS[name].partition('|')[0]}={value}" for name, value in found.items() if is_open[name]]


def dependency(after: Sequence[object], after_any: Sequence[object] = ()) -> list[str]:
    """Return the option for sbatch; empty for a job that waits for nobody."""
    kinds = {"afterok": after, "afterany": after_any}
    parts = [f"{kind}:{':'.join(map(str, ids))}" for kind, ids in kinds.items() if ids]
    return [f"--dependency={','.join(parts)}"] if parts else []


def max_array_size() -> int | None:
    """Return above which index the cluster takes no array; None where it cannot be asked."""
    try:
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run(["scontrol", "show", "config"]), re.MULTILINE)
    except UserError:
        return None
    return int(found[1]) if found else None


def queued(ids: Collection[int]) -> dict[int, str]:
    """Return the state (PENDING, RUNNING, ...) of those jobs that are still in the queue. Arrays count as one job."""
    if not ids:
        return {}
    try:
        answer = _run(["squeue", "--noheader", "--format=%F %T", f"--jobs={','.join(map(str, ids))}"])
    except UserError as error:
        if "Invalid job id" in str(error):  # what squeue says of a single job that it has forgotten
            return {}
        raise
    states = {int(job): state for job, _, state in sorted(line.partition(" ") for line in answer.splitlines())}
    return {job: states[job] for job in ids if job in states}


def listed(ids: Collection[int], format: str) -> str:
    """Return a line of squeue for each task of some jobs, also of those that ended a short while ago."""
    if not ids:
        return ""
    try:
        return _run(["squeue", "--noheader", "--array", "--states=all", f"--format={format}", f"--jobs={_joined(ids)}"])
    except UserError as error:
        if "Invalid job id" in str(error):  # what squeue says of a single job that it has forgotten
            return ""
        raise


def config() -> str:
    """Return the cluster's configuration, `Key = value` a line."""
    return _run(["scontrol", "show", "config"])


def hostnames(nodes: str) -> list[str]:
    """Return the nodes that a word like node[1-3,7] stands for."""
    return _run(["scontrol", "show", "hostnames", nodes]).split()


def _joined(ids: Collection[int]) -> str:
    return ",".join(map(str, ids))


def scancel(ids: Sequence[int]) -> None:
    """Take jobs out of the queue, and end those that run."""
    if ids:
        _run(["scancel", *map(str, ids)])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UserError(f"no {command[0]} on this machine; it comes with SLURM") from None
    except subprocess.TimeoutExpired:
        problem = f"{command[0]} gave no answer in {TIMEOUT_S} s; is the controller well? (`scontrol ping`)"
        raise UserError(problem, exit_code=1) from None
    if done.returncode:
        problem = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise UserError(f"{' '.join(command)}: {problem}", exit_code=1)
    return done.stdout


def _environment() -> dict[str, str]:
    """Return ours without what a job would hand on to those it submits, and what a person set for commands by hand."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS) or name in KEPT}
