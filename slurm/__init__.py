"""The chain of commands as SLURM jobs: plain sbatch text, its submission, and where the jobs stand.

config       what a chain file holds; a section for each registered step
render       chain -> sbatch texts and edges, a pure function
torchrun     the lines of a training script; rendezvous.sh: where its processes meet
submit       writes the scripts into the run folder and hands them to sbatch
submission   what is kept of that: jobs.json
scheduler    the three commands of SLURM that are called
job_status   where the jobs stand, without accounting

The jobs run the commands that a person types; nothing here knows what a step does, or runs one. Imports configs only.
"""
