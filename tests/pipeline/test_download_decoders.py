"""A decoder that hangs, swallows memory or dies costs one image at most; none outlives who asked."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from pipeline.download import decoders as module
from pipeline.download.config import DownloadConfig
from pipeline.download.decoders import Decoders, decoders_of_process
from pipeline.download.guarded import DECODERS
from pipeline.download.image import BYTES_PER_PX, store
from pipeline.download.reasons import Refused

from .download_server import Page, config_for, download, drawing, encoded, jpeg, serve
from .test_download_jpegs import many_scans

LIMITS = DownloadConfig().limits
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
PEAK = """
import sys
from pathlib import Path
from pipeline.download.config import DownloadConfig
from pipeline.download.guarded import DECODERS
from pipeline.download.image import store
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
body, before = Path(sys.argv[1]).read_bytes(), peak()
store(body, DownloadConfig(resize=sys.argv[2]).limits)
print(1024 * (peak() - before))
"""
BOUNDED = "from pipeline.download.decoders import _bound_memory; _bound_memory(50_000_000); bytearray(200_000_000)"
PARENT = """
import sys, time
from pathlib import Path
from pipeline.download.config import DownloadConfig
from pipeline.download.decoders import Decoders, decoders_of_process
decoders = Decoders(1, DownloadConfig().limits)
decoders.store(Path(sys.argv[1]).read_bytes())
print(decoders._idle[0]._process.pid, flush=True)
time.sleep(600)
"""


def idle(decoders: Decoders) -> int:
    """The process that takes the next image."""
    return decoders._idle[-1]._process.pid


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_process_stores_is_what_this_one_would():
    with Decoders(2, LIMITS) as decoders:
        for body in (jpeg(1, 700, 500), encoded(drawing(2), "PNG"), encoded(drawing(3), "WEBP")):
            assert decoders.store(body) == store(body, LIMITS)
        for body in (jpeg()[:2000], b"<html>"):
            with pytest.raises(Refused) as here:
                store(body, LIMITS)
            with pytest.raises(Refused) as there:
                decoders.store(body)
            assert there.value.args == here.value.args


def test_as_many_images_as_threads_are_decoded_at_once():
    bodies = [jpeg(number, 400, 300) for number in range(20)]
    with Decoders(2, LIMITS) as decoders:
        assert list(decoders.threads.map(decoders.store, bodies)) == [store(body, LIMITS) for body in bodies]
        assert len(decoders._idle) <= 2


@pytest.mark.long
def test_a_process_that_hangs_is_replaced():
    with Decoders(1, LIMITS, deadline_s=3.0) as decoders:
        decoders.store(jpeg())
        hanging = idle(decoders)
        os.kill(hanging, signal.SIGSTOP)
        with pytest.raises(Refused, match="decode_limit") as refused:
            decoders.store(jpeg())
        assert refused.value.detail == "more than 3 s"
        assert not runs(hanging)
        assert decoders.store(jpeg()) == store(jpeg(), LIMITS)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("attempts", [1, 2])
def test_a_process_that_dies_costs_one_image_or_none(monkeypatch, number: signal.Signals, attempts: int):
    monkeypatch.setattr(module, "ATTEMPTS", attempts)
    with Decoders(1, LIMITS) as decoders:
        decoders.store(jpeg())
        dying = idle(decoders)
        os.kill(dying, signal.SIGSTOP)  # so that it dies with the image in hand
        asking = decoders.threads.submit(decoders.store, jpeg())
        os.kill(dying, number)
        os.kill(dying, signal.SIGCONT)
        if attempts == 1:
            with pytest.raises(Refused, match="the decoder died"):
                asking.result()
        else:
            assert asking.result() == store(jpeg(), LIMITS)
        assert decoders.store(jpeg()) == store(jpeg(), LIMITS)


def test_processes_that_died_idle_cost_nothing(monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    with Decoders(2, LIMITS) as decoders:
        assert len({*decoders.threads.map(decoders.store, [jpeg()] * 2)}) == 1
        dead = decoders._idle[:]
        for decoder in dead:
            decoder._process.kill()
            decoder._process.wait()
        assert decoders.store(jpeg()) == store(jpeg(), LIMITS)
        assert not {*dead} & {*decoders._idle}


def test_a_process_ends_after_so_many_images(monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 2)
    with Decoders(1, LIMITS) as decoders:
        decoders.store(jpeg())
        first = idle(decoders)
        decoders.store(jpeg())
        assert not decoders._idle and not runs(first)
        assert decoders.store(jpeg()) == store(jpeg(), LIMITS)


def test_processes_go_on_from_shard_to_shard_and_a_killed_one_is_replaced_alone(tmp_path: Path):
    pages = {f"h{n}.test/{n}.jpg": Page(jpeg(n)) for n in range(4)}
    urls, used = [f"http://{where}" for where in pages], []
    with serve(pages) as web_:
        for number in range(3):
            assert [row["status"] for row in download(tmp_path / str(number), web_, urls)] == ["ok"] * 4
            decoders = decoders_of_process(DECODERS, config_for(web_).limits)
            used.append({decoder._process.pid for decoder in decoders._idle})
            if number == 1:
                os.kill(idle(decoders), signal.SIGKILL)
                killed = idle(decoders)
    assert used[0] <= used[1] and used[1] - {killed} <= used[2] and killed not in used[2]
    assert decoders_of_process(DECODERS, LIMITS._replace(size_px=99)) is not decoders
    assert not any(runs(pid) for pid in used[2])


def test_an_image_that_asks_for_too_much_is_one_row_of_its_shard(tmp_path: Path):
    pages = {f"h{n}.test/{n}.jpg": Page(jpeg(n)) for n in range(5)}
    pages["h2.test/2.jpg"] = Page(many_scans(600))
    with serve(pages) as web_:
        rows = download(tmp_path, web_, [f"http://{where}" for where in pages])
    assert [row["status"] for row in rows] == ["ok", "ok", "too_many_scans", "ok", "ok"]
    assert rows[2]["fetched_sha256"] and rows[2]["original_width"] == 640


@LINUX
def test_no_process_outlives_who_asked(tmp_path: Path):
    with Decoders(1, LIMITS) as decoders:
        decoders.store(jpeg())
        pid = idle(decoders)
    assert not runs(pid)
    (tmp_path / "body").write_bytes(jpeg())
    command = [sys.executable, "-c", PARENT, str(tmp_path / "body")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.kill()
    while runs(pid):  # a test that hangs here has failed
        time.sleep(0.05)


@LINUX
def test_memory_has_a_limit():
    done = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


@LINUX
@pytest.mark.parametrize("resize", ["keep_ratio_largest", "no"])
def test_a_large_image_takes_no_more_memory_than_it_may(tmp_path: Path, resize: str):
    side = 4000
    path = tmp_path / "large.png"
    path.write_bytes(deep_png(side))
    done = subprocess.run([sys.executable, "-c", PEAK, str(path), resize], capture_output=True, text=True, check=True)
    assert 2 * side**2 < int(done.stdout) < BYTES_PER_PX * side**2


def deep_png(side: int) -> bytes:
    """A file of a few bytes: half-transparent, of 16 bits a channel (PNG specification, 11.2)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    rows = b"".join([*(packer.compress(bytes(1 + 8 * side)) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_webp_of_more_memory_than_pixels_allow_is_refused():
    body = encoded(drawing(1, 400, 300), "WEBP")
    store(body, DownloadConfig(max_pixels=2 * 400 * 300).limits)
    with pytest.raises(Refused, match="decode_limit") as refused:
        store(body, DownloadConfig(max_pixels=400 * 300).limits)
    assert refused.value.detail == "400 x 300 of webp"
