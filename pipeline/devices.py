"""Which device a process of a shard step computes on: the GPUs that SLURM gave a task are shared out, one a worker."""

import os
import re
from multiprocessing import current_process

VISIBLE = "CUDA_VISIBLE_DEVICES"


def claim_gpu() -> None:
    """Leave this worker one of the GPUs that are visible, the next worker the next; to be called before CUDA begins."""
    visible = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    number = re.search(r"\d+$", current_process().name)  # of processes that this one's parent has started
    if len(visible) > 1 and number:
        os.environ[VISIBLE] = visible[(int(number[0]) - 1) % len(visible)]
