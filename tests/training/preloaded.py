"""What takes seconds to import, for a server of processes that are forked with all of it (see processes.py)."""

import accelerate  # noqa: F401
import deepspeed  # noqa: F401

import training.trainer  # noqa: F401
