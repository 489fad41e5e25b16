"""Where the processes of a training meet: bash, so tested in bash."""

import subprocess
from pathlib import Path

import pytest

from slurm.srun import RENDEZVOUS


def bash(script: str, *, path: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Runs `script` after the functions, with `path` before the usual programs."""
    text = f"set -eo pipefail\nPATH={path}:$PATH\n{RENDEZVOUS.read_text()}\n{script}"
    base = {"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "30007"}
    return subprocess.run(["bash", "-c", text], env=base | env, capture_output=True, text=True, check=False)


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("alone", "alone"),
        ("alpha,beta", "alpha"),
        ("node-[1-3,7]", "node-1"),
        ("node-[7,1-3]", "node-7"),
        ("node-[001-128]", "node-001"),
        ("node[08-12],gpu[1-2]", "node08"),
        ("alpha,node[1-2]", "alpha"),
        ("n[1-2]-ib,n[3-4]", "n1-ib"),
        ("rack[2-3]node[04-05],x", "rack2node04"),
    ],
)
def test_first_host_of_a_list(tmp_path, nodes, first):
    assert bash(f"first_host '{nodes}'", path=tmp_path).stdout.strip() == first


MEET = 'meet many; echo "$MASTER_ADDR:$MASTER_PORT"'


def test_meets_at_the_first_node_at_a_port_from_the_jobs_id(tmp_path):
    program(tmp_path, "scontrol", "printf '%s\\n' gpu07 gpu08")
    program(tmp_path, "getent", "echo 10.0.0.7 STREAM $2")
    assert bash(MEET, path=tmp_path, SLURM_JOB_NODELIST="gpu[07-08]").stdout == "gpu07:15007\n"


def test_without_scontrol_the_list_is_read_by_bash(tmp_path):
    program(tmp_path, "scontrol", "exit 1")
    program(tmp_path, "getent", "echo 10.0.0.7 STREAM $2")
    assert bash(MEET, path=tmp_path, SLURM_JOB_NODELIST="gpu[07-08]").stdout == "gpu07:15007\n"


def test_loopback_is_refused(tmp_path):
    program(tmp_path, "scontrol", "echo gpu07")
    program(tmp_path, "getent", "echo 127.0.1.1 STREAM $2")
    refused = bash(MEET, path=tmp_path, SLURM_JOB_NODELIST="gpu[07-08]")
    assert refused.returncode == 1
    assert "gpu07, is 127.0.1.1 to itself" in refused.stderr and "slurm.train.hosts=one" in refused.stderr


def test_a_name_without_address_is_refused(tmp_path):
    program(tmp_path, "scontrol", "echo gpu07")
    program(tmp_path, "getent", "exit 2")
    refused = bash(MEET, path=tmp_path, SLURM_JOB_NODELIST="gpu[07-08]")
    assert refused.returncode == 1 and "gpu07, has no address" in refused.stderr


def test_one_machine_needs_no_names(tmp_path):
    said = bash('meet one; echo "$MASTER_ADDR:$MASTER_PORT"', path=tmp_path, SLURM_JOB_NODELIST="gpu[07-08]")
    assert said.stdout == "127.0.0.1:15007\n"


def test_a_requeued_job_meets_at_another_port(tmp_path):
    script, ports = 'meet one; echo "$MASTER_PORT"', set()
    for restarts in range(5):
        ports.add(int(bash(script, path=tmp_path, SLURM_RESTART_COUNT=str(restarts)).stdout))
    assert len(ports) == 5 and all(15000 <= port < 30000 for port in ports)
