"""`corgi doctor`: is what a run needs well on this machine? Each look says what it saw, and how to mend it.

    ok        disk          runs/mine: 512 GB and 3,000,000 files free; renames replace at once
    broken    clock         files here are stamped 90 s ahead of this machine's clock
                            mend: set the clock by NTP on both (chrony, systemd-timesyncd)

Nothing private is told: no key, no address, no user. Nothing is left behind, and every look ends by itself.
"""

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from configs import printable
from slurm.health import Finding, cluster, is_reached, nodes

from .accelerators import collectives, gpus, networks

Answer = TypeVar("Answer")
FREE_GB, FREE_FILES = 5, 10_000
SHM_GB = 1
SKEW_S = 2.0  # leases and rates compare times of files with the clock
EARLIEST = 1_735_689_600  # 2025: a clock before it was never set
WAIT_S = 5.0
PROBE = ".corgi-doctor"
WEB, WANDB = ("example.com", 443), ("api.wandb.ai", 443)


def examine(folder: Path, *, is_job: bool, one_machine: bool = False) -> Iterator[Finding]:
    """Yield what each look came to. folder: where a run lies, or will; is_job: only what costs little, and nodes.

    one_machine: all nodes of the job are one, so they need no names.
    """
    yield Finding("python", "ok", f"{sys.version.split()[0]}")
    if not is_job:
        yield from cluster()
    yield from _disk(folder)
    others = [] if one_machine else list(nodes())
    yield from _names(is_needed=bool(others) or not is_job)
    yield from others
    found = list(gpus())
    yield from found
    if any(finding.health == "ok" for finding in found):
        yield from networks()
    if not is_job:
        yield from collectives(has_gpus=any(finding.health == "ok" for finding in found))
        yield from _uplink()
        yield from _wandb()


def told(finding: Finding) -> str:
    """Return a finding in a line, and what mends it in another."""
    mend = f"\n{'':24}mend: {printable(finding.mend)}" if finding.mend else ""
    return f"{finding.health:10}{finding.name:14}{printable(finding.said)}{mend}"


def _disk(folder: Path) -> Iterator[Finding]:
    """Look at the file system of a run: room, renames, and its clock beside ours."""
    place = next(parent for parent in [folder, *folder.absolute().parents] if parent.is_dir())
    stat = os.statvfs(place)
    free_gb, files = stat.f_bavail * stat.f_frsize / 1e9, stat.f_favail if stat.f_files else None
    room = f"{free_gb:,.0f} GB" + (f" and {files:,} files" if files is not None else "") + " free"
    probe = place / f"{PROBE}-{socket.gethostname()}-{os.getpid()}"
    try:
        began = time.time()
        probe.write_text("old")
        stamped, ended = probe.stat().st_mtime, time.time()
        scratch = probe.with_suffix(".scratch")
        scratch.write_text("new")
        scratch.rename(probe)
        is_replaced = probe.read_text() == "new" and not scratch.exists()
    except OSError as error:
        mend = "make room, or give a folder that may be written to"
        yield Finding("disk", "broken", f"{folder}: {error.strerror}; {room}", mend)
        return
    finally:
        probe.unlink(missing_ok=True)
        probe.with_suffix(".scratch").unlink(missing_ok=True)
    if not is_replaced:
        mend = "put the run on a POSIX file system: renames must replace at once (no object store mounted as one)"
        yield Finding("disk", "broken", f"{folder}: a renamed file is not what is read after it", mend)
    elif free_gb < FREE_GB or (files is not None and files < FREE_FILES):
        yield Finding("disk", "broken", f"{folder}: {room}", "make room, or put the run elsewhere: run=...")
    else:
        yield Finding("disk", "ok", f"{folder}: {room}; renames replace at once")
    shm = Path("/dev/shm")
    if shm.is_dir() and (left := shutil.disk_usage(shm).free / 1e9) < SHM_GB:
        mend = "a container takes --shm-size=8g; workers and ranks hand batches over there"
        yield Finding("memory", "doubtful", f"/dev/shm has {left:.2f} GB free", mend)
    yield _clock(stamped - max(began, min(stamped, ended)), at=ended)


def _clock(ahead_s: float, *, at: float) -> Finding:
    mend = "set the clock by NTP on this machine and on the file server (chrony, systemd-timesyncd)"
    if at < EARLIEST:
        return Finding("clock", "broken", f"it says {time.strftime('%Y-%m-%d', time.gmtime(at))}", mend)
    if abs(ahead_s) > SKEW_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        return Finding("clock", "broken", f"files are stamped {abs(ahead_s):.0f} s {side} this machine's clock", mend)
    return Finding("clock", "ok", "files are stamped with this machine's time")


def _names(*, is_needed: bool) -> Iterator[Finding]:
    """Look whether this machine knows itself by name: processes of a training over several find each other so."""
    address = _within(lambda: socket.gethostbyname(socket.gethostname()))
    if address is None:
        mend = "add this machine's name to /etc/hosts, or mend DNS"
        yield Finding(
            "names", "broken" if is_needed else "doubtful", "this machine has no address by its own name", mend
        )
    elif address.startswith("127."):
        yield Finding("names", "ok", "this machine's name leads to itself alone; trainings over several need more")
    else:
        yield Finding("names", "ok", "this machine has an address by its own name")


def _uplink() -> Iterator[Finding]:
    """Look whether the web can be asked: `download` needs it, and nothing else does."""
    if _within(lambda: socket.getaddrinfo(*WEB)) is None:
        yield Finding("uplink", "absent", "names of the web lead nowhere; `download` needs them, nothing else does")
    elif not _within(lambda: is_reached(*WEB)):
        yield Finding("uplink", "absent", "the web cannot be reached; `download` needs it, nothing else does")
    else:
        yield Finding("uplink", "ok", "the web can be reached")


def _wandb() -> Iterator[Finding]:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        yield Finding("wandb", "ok", f"WANDB_MODE is {os.environ['WANDB_MODE']}; nothing is sent")
        return
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        has_key = bool(os.environ.get("WANDB_API_KEY")) or WANDB[0] in netrc.read_text(errors="replace")
    except OSError:
        has_key = False
    if not has_key:
        yield Finding("wandb", "absent", "no key here; runs with wandb.mode: online need `wandb login`")
    elif not _within(lambda: is_reached(*WANDB)):
        mend = "wandb.mode=offline writes files that `wandb sync` sends from a machine with a network"
        yield Finding("wandb", "doubtful", "there is a key, and its server cannot be reached", mend)
    else:
        yield Finding("wandb", "ok", "there is a key, and its server can be reached")


def _within(ask: Callable[[], Answer], seconds: float = WAIT_S) -> Answer | None:
    """Return an answer, or None where there is none in time: a name server may let one wait for minutes."""
    answers: SimpleQueue[Answer | None] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except OSError:
            answers.put(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return None
