"""`corgi doctor`: on a machine with nothing, with a cluster that is not well, with a clock that is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project import doctor
from project.accelerators import gpus
from project.doctor import examine, told
from slurm.health import Finding, cluster, nodes

ROOT = Path(__file__).parents[2]
CANARY = "canary-5ecre7"
SCONTROL = """
[ "$2" = config ] && printf "SLURM_VERSION           = 25.05\\nJobRequeue              = 0\\nSlurmdPort = 1\\n"
[ "$2" = hostnames ] && printf "no-such-node-1\\nno-such-node-2\\n"
exit 0
"""


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Put programs on PATH, and no others but those of the system's own /bin."""
    (folder / "bin").mkdir()
    for name, text in texts.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))


def found(findings, name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_a_machine_with_nothing_is_well(tmp_path: Path):
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "WANDB_API_KEY": CANARY}
    command = [sys.executable, "-m", "corgi", "doctor", "--job", "run/that/is/not/there"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nok        disk          run/that/is/not/there: " in f"\n{done.stdout}"
    assert "absent    gpus" in done.stdout and "broken" not in done.stdout and CANARY not in done.stdout
    assert not list(tmp_path.iterdir())


def test_no_slurm_lacks_nothing_and_half_of_it_does(tmp_path: Path, monkeypatch):
    programs(tmp_path, monkeypatch)
    assert [finding.health for finding in cluster()] == ["absent"]
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    (finding,) = cluster()
    assert finding.health == "broken" and finding.said == "no squeue, scancel, srun, scontrol on PATH"


def test_a_controller_that_is_down_and_one_that_forbids_requeues(tmp_path: Path, monkeypatch):
    others = dict.fromkeys(("sbatch", "squeue", "scancel", "srun"), "")
    programs(tmp_path, monkeypatch, scontrol="echo Unable to contact the controller >&2; exit 1", **others)
    (finding,) = cluster()
    assert finding.health == "broken" and "Unable to contact the controller" in told(finding)
    assert "\n" + " " * 24 + "mend: `scontrol ping`" in told(finding)
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/sh\n{SCONTROL}")
    health = {finding.name: finding.health for finding in cluster()}
    assert health == {"slurm": "ok", "requeue": "doubtful", "accounting": "absent"}
    assert found(cluster(), "requeue").mend == "slurm.preemption=singleton in the chain needs no requeue"


def test_programs_without_a_cluster_are_no_broken_cluster(tmp_path: Path, monkeypatch):
    said = "error: fetch_config: DNS SRV lookup failed\nfatal: Could not establish a configuration source"
    others = dict.fromkeys(("sbatch", "squeue", "scancel", "srun"), "")
    programs(tmp_path, monkeypatch, scontrol=f"printf '{said}' >&2; exit 1", **others)
    (finding,) = cluster()
    assert (finding.health, finding.mend) == ("absent", "") and "no cluster that they know of" in finding.said


def test_a_job_on_one_machine_needs_no_names(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NODELIST", "no-such-node-1")
    programs(tmp_path, monkeypatch)
    monkeypatch.setattr(doctor.socket, "gethostname", lambda: "no-such-node-1.invalid")
    alone = found(examine(tmp_path, is_job=True), "names")
    assert alone.health == "doubtful" and "mend: add this machine's name to /etc/hosts" in told(alone)
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/sh\n{SCONTROL}")
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "no-such-node-[1-2]")
    assert found(examine(tmp_path, is_job=True), "names").health == "broken"
    assert found(examine(tmp_path, is_job=True, one_machine=True), "names").health == "doubtful"


def test_nodes_without_addresses_are_named_and_the_job_ends_with_94(tmp_path: Path, monkeypatch):
    programs(tmp_path, monkeypatch, scontrol=SCONTROL)
    assert not list(nodes())
    monkeypatch.setenv("SLURM_JOB_NODELIST", "no-such-node-[1-2]")
    (finding,) = nodes()
    assert finding.said == "no address by the name of no-such-node-1, no-such-node-2"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "corgi", "doctor", "--job"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 94 and "broken    head node" in done.stdout, done.stdout + done.stderr


def test_a_file_system_with_another_clock_is_found(tmp_path: Path, monkeypatch):
    assert doctor._clock(0.5, at=2e9).health == doctor._clock(-0.5, at=2e9).health == "ok"
    assert "90 s ahead of this machine's clock" in doctor._clock(90, at=2e9).said
    assert doctor._clock(0, at=1e9).said == "it says 2001-09-09"
    assert found(examine(tmp_path, is_job=True), "clock").health == "ok"


def test_a_full_or_closed_disk_is_found(tmp_path: Path):
    (finding,) = doctor._disk(Path("/proc/run"))
    assert finding.health == "broken" and finding.mend.startswith("make room, or give a folder")


@pytest.mark.parametrize(
    ("answer", "health", "said"),
    [
        ("echo 'NVIDIA H100, 81559, 4, 0'; echo 'NVIDIA H100, 81559, 4, [N/A]'", "ok", "2: NVIDIA H100"),
        ("echo 'NVIDIA H100, 81559, 4, 0'; echo 'NVIDIA H100, 81559, 70000, 0'", "doubtful", "GPU 1: memory is held"),
        ("echo 'NVIDIA H100, 81559, 4, 3'", "broken", "GPU 0: memory errors"),
        ("echo Unable to determine the device handle; exit 9", "broken", "nvidia-smi: Unable to determine"),
    ],
)
def test_what_nvidia_smi_says(tmp_path: Path, monkeypatch, answer, health, said):
    programs(tmp_path, monkeypatch, **{"nvidia-smi": answer})
    (finding,) = gpus()
    assert finding.health == health and finding.said.startswith(said)


@pytest.mark.parametrize(
    ("asked", "health"),
    [("lo", "ok"), ("=lo", "ok"), ("ib,l", "ok"), ("ib77", "broken"), ("=l", "broken"), ("^lo", None), ("", None)],
)
def test_the_network_that_nccl_is_told_to_use_is_there(tmp_path: Path, monkeypatch, asked, health):
    programs(tmp_path, monkeypatch, **{"nvidia-smi": "echo 'NVIDIA H100, 81559, 4, 0'"})
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", asked)
    told_of = [finding for finding in examine(tmp_path, is_job=True) if finding.name == "nccl"]
    assert [finding.health for finding in told_of] == ([health] if health else [])
    assert health != "broken" or ("this node has" in told_of[0].mend and "lo" in told_of[0].mend)


@pytest.mark.long
def test_the_launcher_is_tried_for_real(tmp_path: Path):
    assert found(examine(tmp_path, is_job=False), "launcher").said.startswith("2 processes met by gloo in ")
