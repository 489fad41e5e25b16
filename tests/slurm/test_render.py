"""The sbatch text: every line as a person would write it, and from where it comes."""

import subprocess
from pathlib import Path

import pytest

from configs import UserError, load, resolve
from slurm.config import ChainConfig
from slurm.render import Job, Place, render
from slurm.torchrun import in_double_quotes
from training.config import TrainConfig, accumulation

PLACE = Place(file=Path("runs/q/chain.yaml"), cwd=Path("/home/ada/corgi"), programs=Path("/home/ada/.venv/bin"))
ORDER = ["plan", "download", "score", "dedup", "select", "embed", "index", "report", "train-base16", "train-sr64"]


def rendered(chain: ChainConfig, **values: object) -> dict[str, Job]:
    return {job.name: job for job in render(chain, PLACE, **values)}  # type: ignore[arg-type]


def options(job: Job) -> dict[str, str]:
    """'--time=90' -> 'slurm.download.time_min', the key that the line notes."""
    lines = [line.removeprefix("#SBATCH ") for line in job.script.splitlines() if line.startswith("#SBATCH ")]
    return {option.strip(): key.strip() for option, _, key in (line.partition(" # ") for line in lines)}


def body(job: Job) -> list[str]:
    return [line.partition("  # ")[0].rstrip() for line in job.script.splitlines() if not line.startswith("#")]


def test_jobs_wait_for_the_one_before_and_trainings_for_the_index(chain):
    jobs = rendered(chain)
    assert list(jobs) == ORDER
    assert [jobs[name].after for name in ORDER[:7]] == [[], *([name] for name in ORDER[:6])]
    assert {tuple(jobs[name].after) for name in ORDER[7:]} == {("index",)}
    assert [job.name for job in jobs.values() if job.tasks] == ["download", "score", "select", "embed"]


def test_every_option_notes_the_key_that_set_it(chain):
    assert options(rendered(chain)["download"]) == {
        "--job-name=q-download": "run",
        "--output=runs/q/slurm/%x-%A_%a.out": "run",
        "--open-mode=append": "always",
        "--chdir=/home/ada/corgi": "always: where `corgi submit` ran",
        "--kill-on-invalid-dep=yes": "always",
        "--array=0-63%8": "slurm.download.tasks; slurm.download.at_once",
        "--partition=cpu": "slurm.partition",
        "--cpus-per-task=16": "slurm.download.cpus",
        "--time=90": "slurm.download.time_min",
    }


def test_no_option_is_without_its_note(chain):
    for job in render(chain, PLACE):
        lines = [line for line in job.script.splitlines() if line.startswith("#SBATCH")]
        assert len(lines) > 5 and all(" # " in line for line in lines), job.name


def test_the_nearest_level_wins(chain):
    jobs = rendered(chain)
    assert options(jobs["plan"])["--partition=cpu"] == "slurm.partition"
    assert options(jobs["embed"])["--partition=gpu"] == "slurm.embed.partition"
    assert options(jobs["embed"])["--exclusive"] == "slurm.embed.sbatch"
    assert options(jobs["train-base16"])["--nodes=16"] == "slurm.stages.base16.nodes"
    assert options(jobs["train-sr64"])["--nodes=4"] == "slurm.train.nodes"
    assert options(jobs["train-sr64"])["--mem=512M"] == "slurm.train.mem_gb"
    assert options(jobs["score"])["--array=0-0"] == "slurm.score.tasks, default"


def test_jobs_that_are_no_arrays_name_their_log_by_their_own_id(chain):
    assert "--output=runs/q/slurm/%x-%j.out" in options(rendered(chain)["plan"])


def test_the_commands_are_those_a_person_types(chain):
    jobs = rendered(chain)
    share = "--rank $SLURM_ARRAY_TASK_ID --world-size $SLURM_ARRAY_TASK_COUNT"
    assert body(jobs["plan"])[-2] == "corgi plan runs/q/pipeline.yaml"
    assert body(jobs["download"])[-2] == f"corgi download runs/q/pipeline.yaml {share} --workers 16"
    assert body(jobs["score"])[-2] == f"corgi score runs/q/pipeline.yaml {share} --workers 2"
    assert body(jobs["embed"])[-2] == f"corgi embed runs/q/pipeline.yaml {share} --workers 1"
    assert body(jobs["report"])[-2] == "corgi report runs/q/pipeline.yaml"


def test_environment_comes_before_the_command_general_lines_first(chain):
    lines = body(rendered(chain)["download"])
    assert lines[-6:-2] == [
        "export PATH=/home/ada/.venv/bin:$PATH",
        "export WHO='all of them'",
        "export LIMIT=5",
        "module load python",
    ]
    assert lines[-7] == "export PYTHONSAFEPATH=1"
    assert lines.index("set -eo pipefail") < lines.index("export PATH=/home/ada/.venv/bin:$PATH")
    train = body(rendered(chain)["train-base16"])
    assert train.index("ulimit -c 0") == train.index("module load python") + 1


def test_training_is_launched_on_every_node_by_srun(chain):
    launch = rendered(chain)["train-base16"].script.partition("\nsrun ")[2]
    assert launch.startswith("--ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 --cpus-per-task=2 bash -c")
    for part in [
        "exec python -m torch.distributed.run",
        "--nnodes=$SLURM_NNODES --nproc-per-node=2 --rdzv-backend=c10d",
        "--rdzv-endpoint=$MASTER_ADDR:$MASTER_PORT",
        "--rdzv-id=$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}",
        r"--rdzv-conf=is_host=\$((\$SLURM_PROCID == 0))",  # each node's own, so not ours to fill in
        r"--local-addr=\$SLURMD_NODENAME",
        "-m training.launcher runs/q/base16.yaml micro_batch=2 seed=7",
    ]:
        assert part in launch


def test_processes_of_a_node_are_given_or_one_a_gpu_or_the_stages_own(chain):
    jobs = rendered(chain)
    assert "--nproc-per-node=2 " in jobs["train-base16"].script  # slurm.stages.base16.processes_per_node
    assert "--nproc-per-node=8 " in jobs["train-sr64"].script  # slurm.train.gpus_per_node
    plain = chain.model_copy(update={"slurm": type(chain.slurm)()})
    assert "--nproc-per-node=3 " in rendered(plain, processes={"sr64": 3})["train-sr64"].script
    assert "--nproc-per-node=1 " in rendered(plain)["train-sr64"].script


def test_nodes_on_one_machine_meet_on_loopback(chain):
    one = resolve(ChainConfig, chain.model_dump(mode="json"), ["slurm.train.hosts=one"])
    script = rendered(one)["train-sr64"].script
    assert "\nmeet one  # slurm.train.hosts\n" in script
    assert " --local-addr=127.0.0.1 " in script
    assert r" --local-addr=\$SLURMD_NODENAME " in rendered(chain)["train-sr64"].script


def test_a_job_of_one_node_needs_no_names(chain):
    one = resolve(ChainConfig, chain.model_dump(mode="json"), ["slurm.train.nodes=1"])
    assert "\nmeet one  # slurm.train.nodes\n" in rendered(one)["train-sr64"].script


def test_the_processes_of_a_node_share_its_cores(chain):
    shared = resolve(ChainConfig, chain.model_dump(mode="json"), ["slurm.train.cpus=96"])
    assert "\nexport OMP_NUM_THREADS=${OMP_NUM_THREADS:-12}\n" in rendered(shared)["train-sr64"].script
    assert "\nexport OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}\n" in rendered(chain)["train-sr64"].script


def test_every_script_is_bash(chain):
    for job in render(chain, PLACE):
        done = subprocess.run(["bash", "-n"], input=job.script, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), job.name


@pytest.mark.parametrize("text", ["plain", "two words", "a$HOME", '"$(date)"', "back\\slash", "`date`", "it's"])
def test_text_comes_out_of_double_quotes_as_it_was(text):
    said = subprocess.run(["bash", "-c", f'printf %s "{in_double_quotes(text)}"'], capture_output=True, text=True)
    assert said.stdout == text


def test_paths_with_blanks_and_percent_signs_stay_whole(chain):
    odd = chain.model_copy(update={"run": Path("runs/50% of it's"), "pipeline": Path("runs/a b.yaml")})
    script = rendered(odd)["plan"].script
    assert "#SBATCH --output='runs/50%% of it'\"'\"'s/slurm/%x-%j.out'" in script
    assert "corgi plan 'runs/a b.yaml'" in script


def test_a_script_marks_how_it_ended(tmp_path, chain):
    """Run as plain bash: 0 only where the last line was reached, else the code, and nothing after a signal."""
    (tmp_path / "corgi").write_text("#!/bin/bash\n[ $1 != score ] || exit 3; [ $1 != plan ] || kill $PPID\n")
    (tmp_path / "corgi").chmod(0o755)
    ours = chain.model_copy(update={"run": tmp_path, "slurm": type(chain.slurm)()})
    (tmp_path / "slurm" / "exits").mkdir(parents=True)
    marks = {}
    for number, job in enumerate(render(ours, Place(PLACE.file, tmp_path, tmp_path))[:4]):
        ids = {"SLURM_JOB_ID": str(number), "SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": "0"}
        env = {"PATH": "/usr/bin:/bin", "SLURM_ARRAY_TASK_COUNT": "1", **ids}
        subprocess.run(["bash", "-c", job.script], env=env, cwd=tmp_path, check=False)
        marks[job.name] = next((tmp_path / "slurm" / "exits").glob(f"{number}*")).read_text().strip()
    assert marks == {"plan": "started", "download": "0", "score": "3", "dedup": "0"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("slurm.plan.tasks=2", "slurm.plan has no field 'tasks'"),  # plan sees all rows: there is nothing to split
        ("slurm.download.nodes=2", "slurm.download has no field 'nodes'"),
        ("slurm.stages={base64: {nodes: 2}}", "slurm.stages has 'base64', which is no file of train"),
        ("train=[a/base16.yaml, b/base16.yaml]", "train names base16 twice"),
        ('slurm.partition="cpu\\nrm -rf"', "must be one line"),
        ("slurm.sbatch=[exclusive]", "slurm.sbatch"),
        ("slurm.download.tasks=0", "slurm.download.tasks"),
    ],
)
def test_wrong_chains_are_refused_in_plain_words(chain, override, said):
    with pytest.raises(UserError) as error:
        resolve(ChainConfig, chain.model_dump(mode="json"), [override])
    assert said in str(error.value)


def test_the_quickstarts_chain_is_a_chain_whose_batches_work_out():
    folder = Path(__file__).parents[2] / "configs" / "quickstart"
    chain = load(ChainConfig, folder / "chain.yaml")
    assert len(render(chain, PLACE)) == 11
    train = chain.slurm.train
    for file in chain.train:
        config = load(TrainConfig, folder / file.name, train.overrides)
        assert accumulation(config, (train.nodes or 1) * (train.processes_per_node or 1)) >= 1
