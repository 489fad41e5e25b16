"""The ranks of this machine: started, told of signals, looked after, and ended together.

    SIGTERM, SIGUSR1, SIGINT   to the launcher: all ranks save and leave, 75; a second SIGINT ends them at once
    a rank that is killed      the others are ended, 75
    a rank that hangs          no rank can go on without it: the stacks of all are printed, all are ended, 75
    the launcher is killed     so are its ranks, by the kernel

A rank writes a byte into its pipe whenever it has moved forward. Which rank hangs is told by who was the first to stop.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .config import HealthConfig
from .nodes import Ending, Nodes, host_name
from .preemption import SIGNALS, on_signals
from .vital_signs import BEGAN, DONE, LAUNCHER, LOADED, LOST_PEER, PULSE, STACKS, STOPPED

POLL_S = 0.1
SETTLE_S = 2.0  # in which ranks that end for one reason do
STACK_S = 1.0  # for one rank to print its stacks
START_S = 600.0  # until a rank moves for the first time: libraries come from a slow file system, all at once


class Rank(NamedTuple):
    """One process of the training on this machine."""

    number: int  # among all of the training
    process: "subprocess.Popen[bytes]"
    pulse: int  # descriptor of its pipe
    beats: list[float]  # when it was started; and, once it has moved, when it did last

    @property
    def is_stopped(self) -> bool:
        """Tell whether it was stopped by a signal, and waits for SIGCONT."""
        with suppress(OSError, IndexError):
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
        return False


def supervise(command: Sequence[str], nodes: Nodes, *, processes: int, health: HealthConfig) -> int:
    """Run the ranks of this machine to their end; return the exit code that all machines agree on."""
    asked: list[int] = []  # signals, in the order in which they came
    with on_signals(asked.append):
        ranks = _started(command, nodes, processes=processes)
        try:
            ending = _outcome(ranks, nodes, health, asked)
        finally:
            _kill(ranks)
    if ending.reason:
        print(f"corgi: {ending.reason}", file=sys.stderr, flush=True)
    return ending.code


def _started(command: Sequence[str], nodes: Nodes, *, processes: int) -> list[Rank]:
    """Start the ranks, in a session of their own: what a terminal sends reaches them by way of us, and once."""
    ranks = []
    for local in range(processes):
        number = nodes.node.number * processes + local
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        own = {
            "RANK": number,
            "LOCAL_RANK": local,
            "WORLD_SIZE": nodes.node.total * processes,
            "LOCAL_WORLD_SIZE": processes,
            LAUNCHER: os.getpid(),
            PULSE: theirs,
            BEGAN: LOADED,
        }
        environment = os.environ | nodes.environment | {name: str(value) for name, value in own.items()}
        process = subprocess.Popen(command, env=environment, pass_fds=[theirs], start_new_session=True)
        os.close(theirs)
        ranks.append(Rank(number, process, ours, [time.monotonic()]))
    return ranks


def _outcome(ranks: list[Rank], nodes: Nodes, health: HealthConfig, asked: list[int]) -> Ending:
    """Look after the ranks until all are done, one ends badly, or one hangs."""
    told = 0
    while True:
        _take_pulses(ranks)
        if told < len(asked):
            told = len(asked)
            if asked.count(signal.SIGINT) > 1:
                return nodes.end(Ending(STOPPED, "ended at once; the same command goes on from the last checkpoint"))
            _signal(ranks, signal.SIGTERM)
        codes = [rank.process.poll() for rank in ranks]
        if asked and {-number for number in SIGNALS} & {*codes}:  # it did not listen yet
            return nodes.end(Ending(STOPPED, "asked to leave before it had begun; the same command begins again"))
        if any(code not in (None, DONE, STOPPED) for code in codes):
            return nodes.end(_blamed(ranks))
        if None not in codes:
            return Ending(max(code for code in codes if code is not None), "")
        if ending := nodes.ended():
            return ending
        limit_s = min(health.leave_s, health.hang_min * 60) if asked else health.hang_min * 60
        if silent := _silent(ranks, limit_s=limit_s):
            return nodes.end(_hung(ranks, silent, limit_s=limit_s))


def _take_pulses(ranks: list[Rank]) -> None:
    """Wait a little for ranks that move, and note when they did."""
    by_pipe = {rank.pulse: rank for rank in ranks if rank.process.returncode is None}
    if not by_pipe:
        return
    ready, _, _ = select.select([*by_pipe], [], [], POLL_S)
    for pipe in ready:
        if os.read(pipe, 65536):
            by_pipe[pipe].beats[1:] = [time.monotonic()]
    time.sleep(POLL_S / 2)  # steps of a small net are many


def _silent(ranks: list[Rank], *, limit_s: float) -> list[Rank]:
    """Return the ranks that have not moved for so long, those that stopped first in front."""
    now = time.monotonic()
    limits = [limit_s if len(rank.beats) > 1 else max(limit_s, START_S) for rank in ranks]
    silent = [
        rank
        for rank, limit in zip(ranks, limits, strict=True)
        if rank.process.poll() is None and now - rank.beats[-1] > limit
    ]
    return sorted(silent, key=lambda rank: (not rank.is_stopped, rank.beats[-1]))


def _hung(ranks: list[Rank], silent: list[Rank], *, limit_s: float) -> Ending:
    """Print the stacks of all ranks of this machine, one after the other; say which one hangs."""
    first, was_stopped = silent[0], silent[0].is_stopped
    for rank in ranks:
        if rank.process.poll() is None:
            print(f"corgi: stacks of rank {rank.number} on {host_name()}:", file=sys.stderr, flush=True)
            rank.process.send_signal(STACKS)
            rank.process.send_signal(signal.SIGCONT)  # else one that is stopped would not print
            time.sleep(STACK_S)
    state = "was stopped by a signal (SIGSTOP)" if was_stopped else "hangs"
    return Ending(
        STOPPED,
        f"rank {first.number} on {host_name()} {state}: nothing moved for {limit_s:g} s (health), the stacks of all "
        "ranks are above; they are ended, and the same command goes on from the last checkpoint",
    )


def _blamed(ranks: list[Rank]) -> Ending:
    """Say which rank is to blame where some ended badly: one that was killed, before one that lost it."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and any(rank.process.poll() is None for rank in ranks):
        time.sleep(POLL_S)
        codes = {rank.process.poll() for rank in ranks}
        if any(code not in (None, DONE, STOPPED, LOST_PEER) for code in codes):
            break
    bad = [(rank, code) for rank in ranks if (code := rank.process.poll()) not in (None, DONE, STOPPED)]
    rank, code = min(bad, key=lambda pair: (pair[1] == LOST_PEER, pair[1] > 0, pair[0].number))
    where = f"rank {rank.number} on {host_name()}"
    goes_on = "the others are ended, and the same command goes on from the last checkpoint"
    if code == LOST_PEER:
        return Ending(STOPPED, f"{where} has lost a rank of another machine; {goes_on}")
    if code < 0:
        name = signal.Signals(-code).name
        why = " (out of memory, or by hand)" if code == -signal.SIGKILL else ""
        return Ending(STOPPED, f"{where} was killed by {name}{why}; {goes_on}")
    time.sleep(SETTLE_S)  # others may end for the same reason, and say more
    return Ending(code, "")


def _signal(ranks: list[Rank], number: signal.Signals) -> None:
    for rank in ranks:
        if rank.process.poll() is None:
            rank.process.send_signal(number)


def _kill(ranks: list[Rank]) -> None:
    _signal(ranks, signal.SIGKILL)
    for rank in ranks:
        rank.process.wait()
        os.close(rank.pulse)
