"""The sbatch text: every line as a person would write it, and from where it comes."""

import subprocess
from pathlib import Path

import pytest

from configs import UserError, load, resolve
from pipeline.config import PipelineConfig
from slurm.config import ChainConfig, JobSettings
from slurm.render import Call, Job, Work, render
from slurm.script import Place
from slurm.srun import in_double_quotes
from training.config import TrainConfig, accumulation

PYTHON = "/home/ada/.venv/bin/python"
PLACE = Place(file=Path("runs/q/chain.yaml"), cwd=Path("/home/ada/corgi"), python=Path(PYTHON))
STEPS = ["plan", "download", "score", "dedup", "select", "embed", "index"]
ORDER = [*STEPS, "train-base16", "train-sr64", "evaluate", "report"]
SRUN = "step srun --nodes=1 --ntasks=1 --kill-on-bad-exit=1"
CORGI = f"{PYTHON} -m corgi"


def rendered(chain: ChainConfig, work: Work = Work(), **call: object) -> dict[str, Job]:
    return {job.name: job for job in render(chain, PLACE, work, Call(**call))}  # type: ignore[arg-type]


def changed(chain: ChainConfig, *overrides: str) -> ChainConfig:
    return resolve(ChainConfig, chain.model_dump(mode="json", exclude_unset=True), overrides)


def options(job: Job) -> dict[str, str]:
    """'--time=90' -> 'slurm.download.time_min', the key that the line notes."""
    lines = [line.removeprefix("#SBATCH ") for line in job.script.splitlines() if line.startswith("#SBATCH ")]
    return {option.strip(): key.strip() for option, _, key in (line.partition(" # ") for line in lines)}


def body(job: Job) -> list[str]:
    return [line.partition("  # ")[0].rstrip() for line in job.script.splitlines() if not line.startswith("#")]


def test_jobs_wait_for_the_one_before_and_the_report_for_the_end_of_all(chain):
    jobs = rendered(chain)
    assert list(jobs) == ORDER
    assert [jobs[name].after for name in STEPS] == [[], *([name] for name in STEPS[:-1])]
    assert jobs["train-base16"].after == jobs["train-sr64"].after == ["index"]
    assert jobs["evaluate"].after == ["train-base16", "train-sr64"]
    assert (jobs["report"].after, jobs["report"].after_any) == ([], ORDER[:-1])
    assert [job.name for job in jobs.values() if job.indices] == ["download", "score", "select", "embed"]


def test_every_option_notes_the_key_that_set_it(chain):
    assert options(rendered(chain)["download"]) == {
        "--job-name=q-download": "run",
        "--output=runs/q/slurm/%x-%A_%a.out": "run",
        "--open-mode=append": "always",
        "--chdir=/home/ada/corgi": "always: where `corgi submit` ran",
        "--kill-on-invalid-dep=yes": "always",
        "--requeue": "slurm.preemption, default",
        "--signal=B:USR1@60": "slurm.download.signal_s, default",
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
    assert options(jobs["score"])["--array=0"] == "slurm.score.tasks, default"


def test_jobs_that_are_no_arrays_name_their_log_by_their_own_id(chain):
    assert "--output=runs/q/slurm/%x-%j.out" in options(rendered(chain)["plan"])


def test_the_commands_are_those_a_person_types(chain):
    jobs = rendered(chain)
    share = "--rank $((0 + SLURM_ARRAY_TASK_ID)) --world-size"
    commands = {name: body(jobs[name])[-2] for name in ORDER}
    assert commands["plan"] == f"{SRUN} --cpus-per-task=2 {CORGI} plan runs/q/pipeline.yaml"
    download = f"{SRUN} --cpus-per-task=16 {CORGI} download runs/q/pipeline.yaml {share} 64 --workers 16"
    assert commands["download"] == download
    assert commands["score"] == f"{SRUN} --cpus-per-task=2 {CORGI} score runs/q/pipeline.yaml {share} 1 --workers 2"
    assert commands["embed"].endswith(f" {CORGI} embed runs/q/pipeline.yaml {share} 4 --workers 1")
    assert commands["evaluate"].endswith(f" {CORGI} evaluate runs/q")
    assert commands["report"].endswith(f" {CORGI} report runs/q/pipeline.yaml")


def test_our_programs_come_after_the_setup_general_lines_first(chain):
    lines = body(rendered(changed(chain, "slurm.modules=[cuda/12.4]"))["download"])
    assert lines[-8:-3] == [
        "export WHO='all of them'",
        "export LIMIT=5",
        "module load cuda/12.4",
        "module load python",
        "export PATH=/home/ada/.venv/bin:$PATH",
    ]
    assert "export PYTHONSAFEPATH=1" in lines[:-8]
    assert lines.index("set -eo pipefail") < lines.index("export WHO='all of them'")
    train = body(rendered(chain)["train-base16"])
    assert train.index("ulimit -c 0") == train.index("module load python") + 1


def test_training_is_launched_on_every_node_by_srun(chain):
    launch = rendered(chain)["train-base16"].script.partition("\nstep srun ")[2]
    assert launch.startswith("--ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 --cpus-per-task=2 bash -c")
    for part in [
        f"{PYTHON} -m training.launcher",
        r"--nodes=$SLURM_NNODES --node=\$SLURM_PROCID --processes=2",  # the second: each node's own to fill in
        "--meet=$MASTER_ADDR:$MASTER_PORT",
        " runs/q/base16.yaml micro_batch=2 seed=7 ||",
    ]:
        assert part in launch


def test_processes_of_a_node_are_given_or_one_a_gpu_or_the_stages_own(chain):
    jobs = rendered(chain)
    assert "--processes=2 " in jobs["train-base16"].script  # slurm.stages.base16.processes_per_node
    assert "--processes=8 " in jobs["train-sr64"].script  # slurm.train.gpus_per_node
    plain = chain.model_copy(update={"slurm": type(chain.slurm)(arrays="asked")})
    assert "--processes=3 " in rendered(plain, Work(processes={"sr64": 3}))["train-sr64"].script
    assert "--processes=1 " in rendered(plain)["train-sr64"].script


def test_nodes_on_one_machine_meet_on_loopback(chain):
    one = changed(chain, "slurm.train.hosts=one")
    script = rendered(one)["train-sr64"].script
    assert "\nmeet one  # slurm.train.hosts\n" in script
    assert "\nmeet many  # slurm.train.hosts, default\n" in rendered(chain)["train-sr64"].script


def test_a_job_of_one_node_needs_no_names(chain):
    one = changed(chain, "slurm.train.nodes=1")
    assert "\nmeet one  # slurm.train.nodes\n" in rendered(one)["train-sr64"].script


def test_the_processes_of_a_node_share_its_cores(chain):
    shared = changed(chain, "slurm.train.cpus=96")
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
    assert f"{CORGI} plan 'runs/a b.yaml'" in script


def test_an_array_that_is_too_large_is_split_with_the_offset_in_the_script(chain):
    jobs = rendered(changed(chain, "slurm.download.tasks=2000"), max_array_size=1001)
    first, second = jobs["download-1"], jobs["download-2"]
    assert "--array=0-1000%4" in options(first) and "--array=0-998%4" in options(second)
    assert "--rank $((1001 + SLURM_ARRAY_TASK_ID)) --world-size 2000" in body(second)[-2]
    assert "--rank $((0 + SLURM_ARRAY_TASK_ID)) --world-size 2000" in body(first)[-2]
    assert jobs["score"].after == ["download-1", "download-2"] and first.step == second.step == "download"


def test_a_plan_sizes_the_arrays_and_only_what_is_left_is_a_job(chain):
    done: dict[str, list[int]] = {"plan": [], "download": [], "train-sr64": []}
    jobs = rendered(chain, Work(shards=40, left={**done, "score": [3], "embed": [1, 5, 6]}))
    assert list(jobs) == ["score", "dedup", "select", "embed", "index", "train-base16", "evaluate", "report"]
    assert jobs["score"].after == [] and jobs["evaluate"].after == ["train-base16"]
    assert (
        "--array=1" in options(jobs["score"]) and "--world-size 2 " in body(jobs["score"])[-2]
    )  # a task for 32 shards
    assert "--array=1-2" in options(jobs["embed"]) and "--world-size 4 " in body(jobs["embed"])[-2]
    few = rendered(chain, Work(shards=5))["download"]
    assert "--array=0-4%8" in options(few) and "--world-size 5 " in body(few)[-2]
    everything: dict[str, list[int]] = {key: [] for key in ORDER}
    assert rendered(chain, Work(shards=40, left=everything)) == {}


def test_without_a_plan_its_job_submits_the_rest(chain):
    planned = changed(chain, "slurm.arrays=planned")
    jobs = rendered(planned, overrides=["slurm.score.tasks=3"], accepts_new_data=True)
    assert list(jobs) == ["plan"]
    submits = f"{CORGI} submit runs/q/chain.yaml slurm.score.tasks=3 --accept-new-data || "
    assert body(jobs["plan"])[-2].startswith(submits)
    assert list(rendered(planned, Work(shards=16, left={"plan": []}))) == ORDER[1:]


def test_what_is_tolerated_is_counted_over_all_tasks_before_the_next_step(chain):
    jobs = rendered(chain, Work(tolerate=1))
    assert (jobs["download-verdict"].after, jobs["download-verdict"].after_any) == ([], ["download"])
    assert body(jobs["download-verdict"])[-2].endswith(f" {CORGI} download runs/q/pipeline.yaml --verdict")
    assert jobs["score"].after == ["download-verdict"] and jobs["dedup"].after == ["score-verdict"]


def test_where_requeue_is_forbidden_copies_wait(chain):
    jobs = rendered(changed(chain, "slurm.preemption=singleton", "slurm.train.restarts=9"))
    assert options(jobs["plan"])["--no-requeue"] == "slurm.preemption" and "--requeue" not in options(jobs["plan"])
    assert [name for name in jobs if name.startswith("plan")] == ["plan", "plan.1", "plan.2", "plan.3"]
    assert len([name for name in jobs if name.startswith("train-sr64")]) == 10
    second = jobs["score.2"]
    assert (second.follows, second.after, second.after_any) == ("score.1", ["download.3"], ["score.1"])
    assert 'follow "$1_$SLURM_ARRAY_TASK_ID" 2' in body(second) and second.step == "score"
    assert 'follow "$1' not in jobs["score"].script


def test_a_job_is_asked_to_leave_before_its_time_is_over(chain):
    def seconds(*overrides: str) -> str:
        return next(
            option for option in options(rendered(changed(chain, *overrides))["train-sr64"]) if "USR1" in option
        )

    assert seconds() == "--signal=B:USR1@300"
    assert seconds("slurm.train.time_min=4") == "--signal=B:USR1@120"
    assert seconds("slurm.train.time_min=4", "slurm.signal_s=200") == "--signal=B:USR1@200"


def test_data_that_changed_is_accepted_by_trainings(chain):
    launch = "  runs/q/sr64.yaml micro_batch=2"
    assert f"{launch} --accept-new-data ||" in rendered(chain, accepts_new_data=True)["train-sr64"].script
    assert f"{launch} ||" in rendered(chain)["train-sr64"].script


def test_a_chain_that_names_a_vocabulary_draws_it_after_the_trainings(chain):
    stages = [Path("runs/q/train/base16"), Path("runs/q/train/sr64")]
    jobs = rendered(changed(chain, "demo=v.yaml", "slurm.demo.tasks=4"), Work(trainings=stages))
    drawn = "demo compile v.yaml runs/q/train/base16 runs/q/train/sr64 --out runs/q/demo --rank $((0 + "
    assert f"{CORGI} {drawn}" in body(jobs["demo"])[-2] and "--array=0-3" in options(jobs["demo"])
    assert jobs["demo"].after == ["train-base16", "train-sr64"] and "demo" in jobs["report"].after_any


def test_containers_and_other_interpreters(chain):
    python = changed(chain, "slurm.python=/conda/envs/t2i/bin/python")
    assert "export PATH=/conda/envs/t2i/bin:$PATH" in body(rendered(python)["score"])
    assert "/conda/envs/t2i/bin/python -m corgi score " in body(rendered(python)["score"])[-2]
    assert "/conda/envs/t2i/bin/python -m training.launcher" in rendered(python)["train-sr64"].script
    pyxis = rendered(changed(chain, "slurm.container=/i/c.sqsh", "slurm.mounts=[/scratch:/scratch]"))
    image = "--container-image=/i/c.sqsh --container-mounts=/home/ada/corgi:/home/ada/corgi,/scratch:/scratch"
    assert f"{image} --container-workdir=/home/ada/corgi python3 -m corgi score " in body(pyxis["score"])[-2]
    assert f" {image} --container-workdir=/home/ada/corgi bash -c " in pyxis["train-sr64"].script
    assert not [line for line in body(pyxis["score"]) if line.startswith("export PATH=")]
    apptainer = rendered(changed(chain, "slurm.container=c.sif", "slurm.container_by=apptainer"))
    run = "apptainer exec --nv --bind /home/ada/corgi:/home/ada/corgi --pwd /home/ada/corgi c.sif python3 -m"
    assert f"{run} training.launcher" in apptainer["train-sr64"].script
    assert f"{run.replace(' --nv', '')} corgi score " in body(apptainer["score"])[-2]  # it asked for no GPU


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
    assert len(render(chain, PLACE, call=Call(is_preview=True))) == 12
    train = chain.slurm.train
    for file in chain.train:
        config = load(TrainConfig, folder / file.name, train.overrides)
        assert accumulation(config, (train.nodes or 1) * (train.processes_per_node or 1)) >= 1


def test_the_sites_configs_fit_each_other_and_ask_for_what_they_say():
    root = Path(__file__).parents[2]
    chain = load(ChainConfig, root / "configs" / "imagen.yaml")
    pipeline = load(PipelineConfig, root / chain.pipeline)
    assert pipeline.run == chain.run
    world_sizes = {}
    for file in chain.train:
        settings = JobSettings(chain, "train", stage=file.stem)
        nodes, gpus = settings.or_else("nodes", 1).value, settings.or_else("gpus_per_node", 1).value
        config = load(TrainConfig, root / file)
        world_sizes[file.stem] = nodes * gpus
        assert accumulation(config, nodes * gpus) >= 1 and config.processes == gpus
        assert config.run.parent == chain.run / "train" and config.data.index == chain.run / "index.parquet"
        assert config.data.column in ("train", *pipeline.select.stages) and config.text.encoder == pipeline.embed.text
    assert world_sizes == {"base64": 256, "sr256": 128, "sr1024": 128}
    jobs = {job.name: job for job in render(chain, PLACE, Work(shards=41_300, left={"plan": []}))}
    assert "--array=0-255%64" in options(jobs["download"]) and "--gpus-per-node=1" in options(jobs["embed"])
    assert "--signal=B:USR1@600" in options(jobs["train-sr256"]) and "--nodes=32" in options(jobs["train-base64"])


def test_every_job_looks_at_its_nodes_first_unless_it_is_told_not_to(chain):
    scripts = {name: job.script.splitlines() for name, job in rendered(chain).items()}
    looks = {name: [line for line in script if line.startswith("well ")] for name, script in scripts.items()}
    assert all(len(found) == 1 for found in looks.values())
    assert "--nodes=1" in looks["download"][0] and looks["download"][0].endswith("-m corgi doctor runs/q --job")
    assert "--nodes=16 --ntasks-per-node=1 --label" in looks["train-base16"][0]
    for script in scripts.values():  # after the environment, before the work
        begins = [
            [n for n, line in enumerate(script) if line.startswith(word)] for word in ("export PATH", "well ", "step ")
        ]
        assert begins[0][0] < begins[1][0] < begins[2][0]
    one = rendered(changed(chain, "slurm.train.hosts=one", "slurm.score.health=false"))
    assert "--job --one-machine\n" in one["train-sr64"].script and "\nwell " not in one["score"].script
    assert "\nwell " not in rendered(changed(chain, "slurm.container=/i.sqsh"))["score"].script


def test_trackers_are_told_by_a_job_after_all_others(chain):
    assert "sync" not in rendered(chain)
    asked = changed(chain, "logging=[wandb, tensorboard]")
    jobs = rendered(asked, Work(trainings=[Path("runs/q/train/base16"), Path("elsewhere/sr64")]))
    *others, sync = jobs.values()
    assert sync.name == "sync" and sync.after == [] and sync.after_any == [job.name for job in others]
    words = [line.partition(" -m corgi ")[2] for line in sync.script.splitlines() if line.startswith("step ")]
    runs = ("runs/q", "elsewhere/sr64")
    assert words == [*(f"sync {run} --to tensorboard" for run in runs), *(f"sync {run}" for run in runs)]
    assert not rendered(asked, Work(left={job.step: [] for job in others}))


def test_scorers_of_ones_own_reach_the_score_jobs_and_what_the_plan_submits(chain):
    jobs = rendered(chain, scorers=["my own.py"])
    assert "score runs/q/pipeline.yaml --scorers 'my own.py' --rank" in jobs["score"].script
    assert "plan runs/q/pipeline.yaml --scorers 'my own.py'" in jobs["plan"].script
    assert "--scorers" not in jobs["select"].script + jobs["download"].script
    (plan,) = rendered(changed(chain, "slurm.arrays=planned"), scorers=["my own.py"]).values()
    assert "submit runs/q/chain.yaml --scorers 'my own.py' ||" in plan.script
