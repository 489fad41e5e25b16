"""A real SLURM with two nodes on this one machine, in a temporary folder, for as long as it is needed.

    python -m tests.slurm.cluster -- bash            # a shell in which sinfo, sbatch and corgi submit work
    with running(folder) as cluster: ...             # in tests: the fixture `cluster`

Needs the programs of Debian's slurm-wlm and munge, no root, no system-wide configuration. Accounting is off.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "setpriv")
NODES = ("node1", "node2")
CPUS, MEMORY_MB = 2, 16_000  # what each node is said to have, whatever this machine has
MAX_ARRAY_SIZE = 10  # SLURM's own is 1001
PATIENCE_S = 300.0  # for what takes seconds, on a machine that is busy with other tests, too
SBIN = "/usr/sbin:/sbin"  # daemons live there, and people's PATH may lack it


class Cluster(NamedTuple):
    """A running cluster."""

    folder: Path
    env: dict[str, str]  # with SLURM_CONF, and without variables of another job
    nodes: dict[str, "subprocess.Popen[bytes]"]  # the slurmd of each

    def run(self, *command: str | Path, check: bool = True, cwd: Path | None = None) -> str:
        """Output of a command of the cluster's user."""
        done = subprocess.run(command, env=self.env, cwd=cwd, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def lose_node(self, name: str) -> None:
        """Kill a node's slurmd, and let the controller see at once what it sees after its SlurmdTimeout.

        What runs on the node goes on, as on a machine that only the network has lost.
        """
        self.nodes[name].kill()
        self.nodes[name].wait()
        self.run("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=lost")

    def find_node(self, name: str) -> None:
        """Start a node's slurmd again, and wait until the cluster uses the node."""
        self.nodes[name] = _spawn(self.env, self.folder / "logs", "slurmd", "-D", "-N", name)

        def is_back() -> bool:
            return "down" not in self.run("sinfo", "--noheader", "--nodes", name, "--format=%T")

        wait_for(is_back, what=f"{name} to come back")

    def wait_until_empty(self, *, timeout_s: float = PATIENCE_S) -> None:
        """Returns once no job is queued or running."""
        wait_for(
            lambda: not self.run("squeue", "--noheader"), timeout_s=timeout_s, what=f"jobs to end in {self.folder}"
        )


def missing() -> list[str]:
    """Programs that this machine lacks."""
    return [name for name in PROGRAMS if _which(name) is None]


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Starts munged, slurmctld and the nodes; ends them, with all that their jobs started."""
    folder.chmod(0o755)  # munged is strict about the folder of its key
    logs, env = folder / "logs", _environment(folder)
    logs.mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    (folder / "slurm.conf").write_text(configuration(folder, _free_ports(1 + len(NODES))), encoding="utf-8")
    cluster = Cluster(folder, env, {})
    with ExitStack() as daemons:
        daemons.callback(_kill_leftovers, folder)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        _start(daemons, env, logs, "munged", "--foreground", f"--log-file={logs / 'munge'}", *options)
        wait_for((folder / "munge.socket").exists, what=f"munged; see {logs}")
        _start(daemons, env, logs, "slurmctld", "-D")
        for node in NODES:
            cluster.nodes[node] = _spawn(env, logs, "slurmd", "-D", "-N", node)
            daemons.callback(_stop_node, cluster, node)
        wait_for(lambda: _idle(cluster) == len(NODES), what=f"idle nodes; see {logs}")
        try:
            yield cluster
        finally:
            cluster.run("scancel", f"--user={os.getuid()}", check=False)
            wait_for(lambda: not cluster.run("squeue", "--noheader", check=False), what="the last jobs")


def configuration(folder: Path, ports: list[int]) -> str:
    """slurm.conf: one controller and the nodes, all here."""
    host, user = socket.gethostname().partition(".")[0], _user()
    controller_port, *node_ports = ports
    lines = [
        "ClusterName=corgi",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        f"SlurmctldPort={controller_port}",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder / 'munge.socket'},cred_expire=10",  # a requeue waits for credentials to expire
        "CryptoType=crypto/munge",
        f"StateSaveLocation={folder / 'state'}",
        f"SlurmdSpoolDir={folder / 'spool'}-%n",
        f"SlurmctldPidFile={folder / 'slurmctld.pid'}",
        f"SlurmdPidFile={folder / 'slurmd-%n.pid'}",
        f"SlurmctldLogFile={folder / 'logs' / 'slurmctld.log'}",
        f"SlurmdLogFile={folder / 'logs' / 'slurmd-%n.log'}",
        "ProctrackType=proctrack/linuxproc",  # no cgroups: containers have none to give
        "TaskPlugin=task/none",
        "SlurmdParameters=config_overrides",  # believe the lines below rather than the machine
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=500",
        "ReturnToService=2",
        "KillWait=5",
        "MinJobAge=60",
        "MessageTimeout=60",  # of commands that ask a busy controller
        f"MaxArraySize={MAX_ARRAY_SIZE}",
        "SchedulerParameters=batch_sched_delay=1,sched_interval=1,bf_interval=1",
        "JobCompType=jobcomp/filetxt",  # and no sacct
        f"JobCompLoc={folder / 'jobcomp.txt'}",
        "MpiDefault=none",
    ]
    for node, port in zip(NODES, node_ports, strict=True):
        where = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
        lines.append(f"NodeName={node} {where} CPUs={CPUS} RealMemory={MEMORY_MB} State=UNKNOWN")
    lines.append(f"PartitionName=all Nodes={','.join(NODES)} Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(lines) + "\n"


def wait_for(ready: Callable[[], bool], *, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Asks until it is so."""
    until = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < until, f"waited {timeout_s:.0f} s in vain for {what}"
        time.sleep(0.2)


def _start(daemons: ExitStack, env: dict[str, str], logs: Path, program: str, *options: str) -> None:
    """A daemon that is ended when the stack unwinds."""
    daemons.callback(_stop, _spawn(env, logs, program, *options))


def _spawn(env: dict[str, str], logs: Path, program: str, *options: str) -> "subprocess.Popen[bytes]":
    """A daemon in the foreground that does not outlive us."""
    command = ["setpriv", "--pdeathsig", "KILL", str(_which(program)), *options]
    with (logs / f"{program}.out").open("ab") as out:
        return subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _stop_node(cluster: Cluster, name: str) -> None:
    _stop(cluster.nodes[name])  # that of now: it may have been started again


def _idle(cluster: Cluster) -> int:
    return cluster.run("sinfo", "--noheader", "--Node", "--format=%T", check=False).split().count("idle")


def _kill_leftovers(folder: Path) -> None:
    """Ends what jobs of this cluster have left, known by the configuration in its environment."""
    for entry in Path("/proc").iterdir():
        try:
            ours = f"SLURM_CONF={folder}/".encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if ours and int(entry.name) != os.getpid():
            os.kill(int(entry.name), signal.SIGKILL)


def _environment(folder: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
    return plain | {"SLURM_CONF": f"{folder / 'slurm.conf'}", "PATH": f"{os.environ['PATH']}:{SBIN}"}


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:{SBIN}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def main() -> int:
    """Runs the command after `--` with the cluster around it."""
    command = sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:]
    if not command or missing():
        print(f"missing: {', '.join(missing())}; see .ci/install" if command else __doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="corgi-slurm-") as folder, running(Path(folder)) as cluster:
        return subprocess.run(command, env=cluster.env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
