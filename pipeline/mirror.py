"""The mirror of a run in Weights & Biases, as far as a command that works on the run knows of it: its config.

No command ever talks to W&B but `corgi sync`, which reads ledgers. With `wandb.mode: online` a training or a step
starts one beside itself, and asks no more of it: a mirror that hangs or dies takes nothing with it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from configs import Config
from storage.run import MIRROR_LOG


class WandbConfig(Config):
    """The mirror of the ledger in Weights & Biases. The ledger is complete without it."""

    # online: sent by a process beside; offline: by `corgi sync RUN`, from where there is a network
    mode: Literal["offline", "online", "disabled"] = "disabled"
    project: str = "corgi"  # its name there
    entity: str | None = Field(default=None, examples=["my-team"])  # user or team there; null: the account's own
    group: str | None = Field(default=None, examples=["laion"])  # null: the folder of the pipeline's run


def start_mirror(run: Path, config: WandbConfig, *, follows: bool = False) -> None:
    """Start `corgi sync RUN` beside this process where the config wants it; what it says goes to RUN/wandb.log.

    follows: for as long as this process lives, and else once.
    """
    if config.mode != "online":
        return
    command = [sys.executable, "-m", "corgi", "sync", str(run.absolute()), "--alone"]
    command += ["--while", str(os.getpid())] if follows else []
    # a mirror is nobody's rank, holds no lease, and may outlive who started it
    ours = ("CORGI_", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    try:
        with (run / MIRROR_LOG).open("ab") as log:
            subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    except OSError as error:
        print(f"wandb: the mirror did not start ({error}); `corgi sync {run}` sends later", file=sys.stderr)
