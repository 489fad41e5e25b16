"""The chain of commands as SLURM jobs: plain sbatch text, its submission, and where the jobs stand.

config       what a chain file holds; a section for each registered step
render       chain -> jobs and edges, a pure function
arrays       which tasks an array has, and how it is split
script       one job's sbatch text; job.sh: how a job begins, ends, and is stopped
srun         the lines of a training script; rendezvous.sh: where its processes meet
submit       writes the scripts into the run folder and hands them to sbatch; preview: prints them
submission   what is kept of that: jobs.json
scheduler    the commands of SLURM that are called
queue        what squeue says of every task; records: what their scripts left of themselves
job_status   where the jobs stand, from both, without accounting
health       is the cluster well, as far as this machine can see it
logs, cancel what the tasks of a step have written; the end of its jobs

The jobs run the commands that a person types; nothing here knows what a step does, or runs one. Imports configs only.
"""
