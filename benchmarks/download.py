"""Urls a second from a server on loopback, and what they cost: Corgi's guarded engine and img2dataset itself.

One process each, 64 connections, the same urls on many hosts (addresses of loopback), images of LAION's sizes.

    large    at most 1024 px: most images need no change; Corgi stores those byte for byte, img2dataset encodes all anew
    crop     the middle square at 256 px
    wide     as large, but only images of at least 512 px on their shorter side; figures are of those that are kept

Every run is a whole command, once over a few urls and once over all: the difference is the steady state, apart from
start-up. Core-seconds are those of the command and its children, without the server. Corgi also asks every host for
robots.txt and two files beside it and waits 50 ms between two requests to one. img2dataset's start-up is dearer here
than it need be, as albumentations imports torch where it finds it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common
from benchmarks.common import Contender, Figures

FEW = 16  # urls of the run that measures start-up
URLS_PER_HOST = 8
CONNECTIONS = 64
START_S = 30.0
MODES: dict[str, dict[str, Any]] = {  # as Corgi's config says it
    "large": {"resize": "keep_ratio_largest", "size_px": 1024, "min_side_px": 0},
    "crop": {"resize": "center_crop", "size_px": 256, "min_side_px": 0},
    "wide": {"resize": "keep_ratio_largest", "size_px": 1024, "min_side_px": 512},
}
BARS = {
    "large.steady_per_core_s.over_img2dataset": 1.5,
    "crop.steady_per_core_s.over_img2dataset": 1.5,
    "wide.steady_per_core_s.over_img2dataset": 4.0,
    "large.urls_per_s.over_img2dataset": 3.0,
    "crop.urls_per_s.over_img2dataset": 3.0,
    "wide.bytes_saved": 0.5,
}
PEERS = {"img2dataset": Contender(lambda settings: dict, needs=("img2dataset",))}

CORGI = "import sys; from benchmarks.download import download_planned as run; run(*sys.argv[1:])"
IMG2DATASET = "import sys, json, img2dataset as library; library.download(**json.loads(sys.argv[1]))"
AIOHTTP = """
import sys
from aiohttp import web
folder, port, *hosts = sys.argv[1:]
app = web.Application()
app.router.add_static("/", folder)
web.run_app(app, host=hosts, port=int(port), print=None, access_log=None, handle_signals=True)
"""
NGINX = """daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; root {folder}; types {{ image/jpeg jpg; }} server {{ {listen} }}
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
}}
"""


class Cost(NamedTuple):
    """What a command took, with its children, and what came of it."""

    wall_s: float
    core_s: float
    kept: int = 0  # images that were stored
    bytes: int = 0  # of bodies that were read; 0 where the engine does not say


Engine = Callable[[Path, Path, str], Cost]


def corgi(run: Path, table: Path, mode: str) -> Cost:
    """Plan a run, then download it in a process of its own."""
    from pipeline.runner import run_step

    shutil.rmtree(run, ignore_errors=True)
    run_step("plan", _config(run, table, mode))
    cost = _cost([sys.executable, "-c", CORGI, str(run), str(table), mode])
    stats = _stats(run)
    kept = sum(each["reasons"].get("ok", 0) for each in stats)
    return cost._replace(kept=kept, bytes=sum(each["bytes"] for each in stats))


def download_planned(run: str, table: str, mode: str) -> None:
    """Download a planned run, as `corgi download` does."""
    from pipeline.runner import run_step

    run_step("download", _config(Path(run), Path(table), mode))


def _config(run: Path, table: Path, mode: str) -> Any:
    from benchmarks import data

    download = {"allow_addresses": ["127.0.0.0/8"], "connections": CONNECTIONS, **MODES[mode]}
    return data.config(run, table, download=download)


def img2dataset(folder: Path, table: Path, mode: str) -> Cost:
    """Download a table with the library in a process of its own, asked for what Corgi stores."""
    shutil.rmtree(folder, ignore_errors=True)
    arguments = {
        "url_list": str(table),
        "input_format": "parquet",
        "url_col": "URL",
        "caption_col": "TEXT",
        "output_folder": str(folder),
        "output_format": "webdataset",
        "processes_count": 1,
        "thread_count": CONNECTIONS,
        "image_size": MODES[mode]["size_px"],
        "resize_mode": MODES[mode]["resize"],
        "resize_only_if_bigger": True,
        "min_image_size": MODES[mode]["min_side_px"],
        "encode_quality": 95,
    }
    cost = _cost([str(common.PEERS / "bin" / "python"), "-c", IMG2DATASET, json.dumps(arguments)])
    return cost._replace(kept=sum(each["successes"] for each in _stats(folder)))


def _stats(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.rglob("*_stats.json")]


def _cost(command: Sequence[str]) -> Cost:
    """Run a command to its end. Children that it waits for are counted with it."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=common.ROOT, env=common.environment())
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise RuntimeError(" | ".join(log.read().splitlines()[-common.LOG_LINES :]))
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


@contextmanager
def serving(folder: Path, hosts: Sequence[str]) -> Iterator[int]:
    """Serve a folder at these addresses from a process of its own: nginx where there is one, else aiohttp."""
    with socket.socket() as free:
        free.bind((hosts[0], 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-c", AIOHTTP, str(folder), str(port), *hosts]
    if nginx := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        listen = " ".join(f"listen {host}:{port};" for host in hosts)
        user = "" if os.getuid() else "user root;"  # else its worker may not read the folder
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, listen=listen, user=user))
        command = [nginx, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    server = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + START_S
        while not _listens(hosts[-1], port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(command[0]).name} does not serve {len(hosts)} hosts at port {port}")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _run(
    engine: Callable[[Path, Path, str], Cost], folder: Path, few: Path, all_: Path, fit: dict[str, int]
) -> Figures:
    """Return the figures of all modes. fit: mode -> how many images of the whole table are to be kept."""
    figures: Figures = {}
    for mode, count in fit.items():
        start, whole = engine(folder, few, mode), engine(folder, all_, mode)
        if whole.kept != count:
            raise RuntimeError(f"{engine.__name__} kept {whole.kept} images of {count} in mode {mode}")
        figures |= {
            f"{mode}.steady_per_core_s": (whole.kept - start.kept) / (whole.core_s - start.core_s),
            f"{mode}.urls_per_s": whole.kept / whole.wall_s,
            f"{mode}.core_s": whole.core_s,
            f"{mode}.start_core_s": start.core_s,
            f"{mode}.start_s": start.wall_s,
            f"{mode}.megabytes": whole.bytes / 1e6,
        }
    return figures


def main() -> int:
    """Run the benchmark."""
    given = common.options(__doc__, rounds=3)
    if reason := common.missing(PEERS):
        print(reason, file=sys.stderr)
        return common.NO_PEERS
    from benchmarks import data

    count = 48 if given.quick else 1500
    hosts = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(-(-count // URLS_PER_HOST))]
    with tempfile.TemporaryDirectory() as name:
        folder, web = Path(name), Path(name) / "web"
        web.mkdir()
        sizes = [_write(web / f"{number}.jpg", image) for number, image in enumerate(data.images(count))]
        fit = {mode: sum(side >= asked["min_side_px"] for side, _ in sizes) for mode, asked in MODES.items()}
        texts = data.captions(count)
        with serving(web, hosts) as port:
            urls = [f"http://{hosts[n % len(hosts)]}:{port}/{n}.jpg" for n in range(count)]
            few = data.url_table(folder / "few.parquet", urls[:FEW], texts[:FEW])
            whole = data.url_table(folder / "all.parquet", urls, texts)
            sides = {
                engine.__name__: partial(_run, engine, folder / engine.__name__, few, whole, fit)
                for engine in (corgi, img2dataset)
            }
            runs = common.alternate(sides, rounds=given.rounds)
    served = sum(size for _, size in sizes) / 1e6
    further = {
        f"{mode}.{figure}.over_img2dataset": common.ratios(runs, "corgi", "img2dataset", f"{mode}.{figure}")
        for mode in MODES
        for figure in ("steady_per_core_s", "urls_per_s")
    }
    further["wide.bytes_saved"] = [1 - figures["wide.megabytes"] / served for figures in runs["corgi"]]
    return common.report("download", runs, further, bars=BARS)


def _write(path: Path, image: bytes) -> tuple[int, int]:
    """Write an image; return its shorter side in px and its bytes."""
    import simplejpeg

    path.write_bytes(image)
    return min(simplejpeg.decode_jpeg_header(image)[:2]), len(image)


if __name__ == "__main__":
    sys.exit(main())
