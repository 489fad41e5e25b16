"""The chain of commands as SLURM jobs: plain sbatch text and its submission. Imports configs only.

config.py    what a chain file holds
render.py    chain -> sbatch texts and edges, a pure function
submit.py    writes them into the run folder and hands them to sbatch
standing.py  where the jobs stand, without accounting
"""
