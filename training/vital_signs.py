"""What a rank shows its launcher, and how the two are tied together: a pulse, stacks when asked, and death.

beat()        a byte into the pipe, whenever the rank has moved forward
SIGUSR2       prints the stacks of all threads
exit code     done, stopped, or: another rank is gone, and the launcher knows which
"""

import ctypes
import faulthandler
import os
import signal
import sys
import time
from contextlib import suppress

from storage.processes import die_with

LAUNCHER = "CORGI_LAUNCHER"  # environment of ranks that a launcher started: the process to die with
PULSE = "CORGI_PULSE"  # and the descriptor of its pipe
BEGAN = "CORGI_BEGAN"  # and when the launcher did, in seconds since 1970
LOADED = time.time()
DONE, LOST_PEER, STOPPED, CHAIN_ENDS = 0, 74, 75, 93  # exit codes
STACKS = signal.SIGUSR2
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
LOST = ("gloo", "nccl", "tcpstore", "socket", "connection")  # in what torch says of a rank that is gone


def attend_to_launcher() -> None:
    """Show stacks when asked to, and die with the launcher, however it dies."""
    launcher = int(os.environ[LAUNCHER])
    faulthandler.register(STACKS, file=sys.__stderr__ or sys.stderr, all_threads=True)
    if sys.platform == "linux":  # reaches one that is stopped by a signal, too
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    die_with(launcher)  # elsewhere; and where it died before we came here


def beat() -> None:
    """Tell the launcher that this rank moves."""
    if PULSE in os.environ:
        with suppress(OSError):  # it has not looked for a while, or is gone
            os.write(int(os.environ[PULSE]), b".")


def setup_s() -> float:
    """Return the seconds since the command was begun: what a start costs before its first step."""
    return round(time.time() - float(os.environ.get(BEGAN, LOADED)), 2)


def is_lost_peer(error: BaseException) -> bool:
    """Tell whether an error means that another rank is gone, or none has heard of it for too long."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in LOST)
    )
