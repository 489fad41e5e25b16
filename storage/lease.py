"""Leases: one writer of a step's share of a run, over hosts too, and where the file system knows no locks.

    <run>/leases/download.0-of-4.7     the seventh holder of rank 0 of 4: its host, its process, whether it is done

Who makes the file with the next number holds the lease, and takes the file before away. Whatever the holder and its
children commit asks first whether the holder's file is still there: a process that was suspended, cut off or given up
writes nothing more. A holder touches its file every second; one that is silent for long, or whose process is gone, is
succeeded. Numbers are never used twice, so the file of the last holder stays.
"""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import gcd
from pathlib import Path

from configs import UserError
from configs.steps import ENTRIES

FOLDER = "leases"
ALONE = (ENTRIES[0].name, "takedown")  # who cuts the shards, and who changes what is finished
LEASE = "CORGI_LEASE"  # environment of a holder and its children: the file
BEAT_S = 1.0
SILENT_S = 20.0  # without a beat, after which a holder is given up
POLL_S = 0.2
NAME = re.compile(r"(.+)\.(\d+)-of-(\d+)\.(\d+)")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Key:
    """What is held: of a step the shards [rank::world_size], of a table step the whole run."""

    step: str
    rank: int = 0
    world_size: int = 1

    def overlaps(self, other: "Key") -> bool:
        """Tell whether both may write the same file. Some have the run for themselves."""
        if self.step in ALONE or other.step in ALONE:
            return True
        return self.step == other.step and (self.rank - other.rank) % gcd(self.world_size, other.world_size) == 0

    def __str__(self) -> str:
        return f"{self.step}.{self.rank}-of-{self.world_size}"


@dataclass(frozen=True)
class Holder:
    """What a lease's file says."""

    host: str = ""
    boot: str = ""  # of the host: its processes had other numbers before
    process: int = 0
    started: str = ""  # of the process, in the kernel's own ticks
    is_done: bool = False

    @property
    def is_gone(self) -> bool:
        """Tell whether it wrote that it is done, or is known to have died: only its own host can know."""
        here = _here()
        return self.is_done or (
            (self.host, self.boot) == (here.host, here.boot) and started(self.process) != self.started
        )


@contextmanager
def hold(run: Path, key: Key) -> Iterator[bool]:
    """Hold a lease, in this process and in the children that it starts inside; yield whether one before was cut off.

    Raises UserError where somebody who is alive holds one that overlaps.
    """
    file, was_cut_off = _acquire(run / FOLDER, key)
    over = threading.Event()
    threading.Thread(target=_beat, args=(file, over), daemon=True, name="lease").start()
    before = os.environ.get(LEASE)
    os.environ[LEASE] = str(file)
    try:
        yield was_cut_off
    finally:
        over.set()
        os.environ.pop(LEASE)
        if before is not None:
            os.environ[LEASE] = before
        if file.exists():
            _write(file, Holder(is_done=True))


@dataclass(frozen=True)
class Held:
    """A lease that somebody holds."""

    key: Key
    host: str
    silent_s: float  # since its last beat


def held(run: Path) -> list[Held]:
    """Return the leases of a run whose holders are at work, as far as this host can know."""
    folder, now, found = run / FOLDER, time.time(), []
    for file, key in _files(folder) if folder.is_dir() else []:
        holder, beat_ns = _read(file), _beat_of(file)
        silent_s = now - beat_ns / 1e9
        if beat_ns and not holder.is_gone and silent_s < SILENT_S:
            found.append(Held(key, holder.host, max(0.0, silent_s)))
    return found


def check() -> None:
    """Raise UserError where the lease that this process works under has been taken over by another holder."""
    file = os.environ.get(LEASE)
    if file is not None and not Path(file).exists():
        raise UserError(
            f"{file} is gone: another process has taken over this step; nothing more is written", exit_code=1
        )


def _acquire(folder: Path, key: Key) -> tuple[Path, bool]:
    folder.mkdir(parents=True, exist_ok=True)
    others = [(file, other) for file, other in _files(folder) if other.overlaps(key)]
    for file, _ in others:
        _await_end(file, key)
    was_cut_off = any(not _read(file).is_done for file, _ in others)
    number = max((_number(file) for file, other in others if other == key), default=0) + 1
    own = folder / f"{key}.{number}"
    try:
        os.close(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        raise _busy(own, key) from None
    _write(own, _here())
    for file, _ in others:
        file.unlink(missing_ok=True)
    for file, other in _files(folder):  # who came at the same time with another share gives way, too
        if file != own and other.overlaps(key) and not _read(file).is_gone:
            own.unlink()
            raise _busy(file, key)
    return own, was_cut_off


def _await_end(file: Path, key: Key) -> None:
    """Return once a holder is done, dead or silent for long. Raises UserError at its next beat."""
    holder, last_beat, since = _read(file), _beat_of(file), time.monotonic()
    while not holder.is_gone and time.monotonic() - since < SILENT_S:
        time.sleep(POLL_S)
        holder, beat = _read(file), _beat_of(file)
        if beat != last_beat and not holder.is_gone:
            raise _busy(file, key)


def _busy(file: Path, key: Key) -> UserError:
    holder = _read(file)
    who = f"process {holder.process} on {holder.host}" if holder.process else "another process"
    return UserError(f"{who} is at work on {file.name} ({file}); wait for it, or stop it, before {key}", exit_code=1)


def _files(folder: Path) -> list[tuple[Path, Key]]:
    named = [(file, NAME.fullmatch(file.name)) for file in sorted(folder.iterdir())]
    return [(file, Key(name[1], int(name[2]), int(name[3]))) for file, name in named if name]


def _number(file: Path) -> int:
    return int(file.name.rpartition(".")[2])


def _read(file: Path) -> Holder:
    """Return what a file says: of one that is just being made, that its holder is alive somewhere."""
    try:
        return Holder(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Holder(is_done=True)
    except (ValueError, TypeError):
        return Holder()


def _write(file: Path, holder: Holder) -> None:
    file.write_text(json.dumps(asdict(holder)), encoding="utf-8")


def _beat(file: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        try:
            os.utime(file)
        except OSError:
            return


def _beat_of(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _here() -> Holder:
    boot = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    return Holder(socket.gethostname(), boot, os.getpid(), started(os.getpid()))


def started(process: int) -> str:
    """Return when a process of this host began, "" where it has ended; a number alone may be another's by now."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else fields[18]  # a zombie only waits for its parent to hear of its end
