"""Processes that decode: a decoder that hangs, swallows memory or dies takes one image with it, not the shard.

Run as `python -m pipeline.download.decoders FD`, this is such a process: it answers bodies with what is stored of them.
"""

import atexit
import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Self

from storage.processes import child_environment, die_with_starter

from .config import Limits
from .image import Stored, memory_bytes, store
from .reasons import Refused

HOUSE = Path(__file__).parents[2]  # the folder of our packages
DEADLINE_S = 60.0  # wall clock; the most that the limits let through takes 3 s of a core
ATTEMPTS = 2  # a process may be killed for what is no fault of the image
SLACK_BYTES = 256_000_000  # for the body and for what libraries keep, beside the pixels
MOST_IMAGES = 20_000  # of one process: what libraries lose of its memory, image by image, stays small


class Decoders:
    """`with Decoders(2, limits) as decoders: ...` in `decoders.threads`, two at once: `stored = decoders.store(body)`.

    A process is started when one is needed and none is idle; that takes about 0.25 s of a core.
    """

    def __init__(self, count: int, limits: Limits, *, deadline_s: float = DEADLINE_S) -> None:
        self.threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self.count, self.limits, self._deadline_s = count, limits, deadline_s
        self._idle: list[_Decoder] = []

    def store(self, body: bytes) -> Stored:
        """Return what `image.store` returns; raise Refused as it does, and decode_limit where the process is lost."""
        for _ in range(ATTEMPTS):
            decoder = self._take()
            try:
                answer = decoder.ask(body, deadline_s=self._deadline_s)
            except (EOFError, ConnectionError):
                decoder.kill()
                continue
            except BaseException:
                decoder.kill()
                raise
            if decoder.images < MOST_IMAGES:
                self._idle.append(decoder)
            else:
                decoder.kill()
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise Refused("decode_limit", "the decoder died")

    def close(self) -> None:
        """Wait for the images under way, then end the processes."""
        self.threads.shutdown()
        while self._idle:
            self._idle.pop().kill()

    def _take(self) -> "_Decoder":
        while True:
            try:
                decoder = self._idle.pop()
            except IndexError:
                return _Decoder(self.limits)
            if decoder.runs():  # one that died idle, since the last image, takes no attempt of this one
                return decoder
            decoder.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Decoder:
    """One process, and our end of the pipe to it."""

    def __init__(self, limits: Limits) -> None:
        self.images = 0  # that were asked for
        self._connection, theirs = Pipe()
        environment = {
            **child_environment(),
            "PYTHONPATH": os.pathsep.join([str(HOUSE), *filter(None, sys.path)]),  # the same modules as here
            "OPENBLAS_NUM_THREADS": "1",  # numpy's; each would reserve address space, which is what is bounded
        }
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
        self._process = Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=DEVNULL)
        theirs.close()
        try:
            self._connection.send(limits)
            self._connection.recv()  # its start is no part of an image's time
        except (EOFError, ConnectionError):
            self.kill()
            raise RuntimeError(
                f"a decoder did not start: {' '.join(command)} ended with {self._process.wait()}"
            ) from None

    def ask(self, body: bytes, *, deadline_s: float) -> Stored | Exception:
        """Return the answer to a body. Raises EOFError or ConnectionError where the process is gone."""
        self.images += 1
        self._connection.send_bytes(body)
        if not self._connection.poll(deadline_s):
            raise Refused("decode_limit", f"more than {deadline_s:g} s")
        answer: Stored | Exception = self._connection.recv()
        if isinstance(answer, Stored) and not answer.data:
            return answer._replace(data=body)
        return answer

    def runs(self) -> bool:
        """Tell whether the process has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()


_kept: list[Decoders] = []  # at most one


def decoders_of_process(count: int, limits: Limits) -> Decoders:
    """Return decoders that go on from shard to shard, until this process ends or others are asked for."""
    if _kept and (_kept[0].count, _kept[0].limits) != (count, limits):
        _kept.pop().close()
    if not _kept:
        _kept.append(Decoders(count, limits))
    return _kept[0]


@atexit.register
def _close_kept() -> None:
    while _kept:
        _kept.pop().close()


def serve(connection: Connection) -> None:
    """Answer bodies until the other end is closed."""
    with suppress(EOFError, ConnectionError):  # who asks may be gone at any time
        limits: Limits = connection.recv()
        _bound_memory(memory_bytes(limits) + SLACK_BYTES)
        connection.send(None)
        while True:
            connection.send(_answer(connection.recv_bytes(), limits))


def _answer(body: bytes, limits: Limits) -> Stored | Exception:
    """Return what is sent back; without data where the body itself is stored, which the other end has."""
    try:
        stored = store(body, limits)
    except MemoryError:
        return Refused("decode_limit", f"more than {memory_bytes(limits) // 1_000_000} MB")
    except Exception as error:  # a Refused, or a mistake of ours for the caller to see
        return error
    return stored._replace(data=b"") if stored.data == body else stored


def _bound_memory(more_bytes: int) -> None:
    """Let this process have so much more address space than now. Only Linux keeps such a limit."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, for all processes: who asks decides when to stop
    die_with_starter()
    serve(Connection(int(sys.argv[1])))
