"""The demo's page: `corgi demo serve` on one core beside nginx on the same folder, and what a click costs.

A client on another core asks for the bundle's files over 8 connections that stay open, for 30 s each; the servers take
turns. In a browser, a click on a word whose pictures were loaded before: how many frames until the new one stands.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import common
from benchmarks.common import Figures, Runs

CONNECTIONS = 8
SECONDS, QUICK_SECONDS = 30.0, 1.0
CLICKS = 30
BARS = {"corgi.requests_per_s": 500.0, "without_error": 1.0, "within_a_frame": 1.0}
NGINX = """
{user} daemon off; worker_processes 1; error_log stderr crit; pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000; sendfile on;
  types {{ text/html html; text/javascript js; text/css css; image/png png; image/svg+xml svg; image/webp webp; }}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""
# Clicks, then counts the frames until the picture on top is another one, whole and decoded.
FRAMES = """
(async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const top = () => document.querySelector("#frame").lastElementChild;
  const before = top();
  await frame();
  document.querySelectorAll(".word")[1].click();
  let frames = 0;
  do { await frame(); frames += 1; } while (top() === before || !(top().complete && top().naturalWidth));
  return frames;
})()
"""


def main() -> int:
    """Make a bundle, serve it by both, click in it."""
    given = common.options(__doc__, rounds=1)
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        print("nginx is not here; apt-get install nginx-light", file=sys.stderr)
        return common.NO_PEERS
    with tempfile.TemporaryDirectory() as temporary:
        return _measure(Path(temporary), nginx, given)


def _measure(folder: Path, nginx: str, given: argparse.Namespace) -> int:
    from tests.demo import small_demo

    demo, site = folder / "demo", folder / "site"
    small_demo.compiled(small_demo.stages(folder / "stages"), demo)
    small_demo.approve(demo)
    small_demo.bundled(demo, site)
    paths = ["/index.html", *(f"/files/{path.name}" for path in sorted((site / "files").iterdir()))]
    runs: Runs = {"corgi": [], "nginx": []}
    seconds = QUICK_SECONDS if given.quick else SECONDS
    options = ["--per-second", "0", "--no-log"]
    user = "" if os.geteuid() else "user root;"  # else its worker is nobody, who may not read the folder
    for _ in range(given.rounds):
        for name in runs:
            port = _free_port()
            (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder, port=port, site=site))
            command = {
                "corgi": [sys.executable, "-m", "corgi", "demo", "serve", str(site), "--port", str(port), *options],
                "nginx": [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")],
            }[name]
            with _served(command, port):
                runs[name].append(asyncio.run(_load(port, paths, seconds=seconds)))
                if name == "corgi":
                    frames = _frames(folder, port)
    ratio = common.ratios(runs, "corgi", "nginx", "requests_per_s")
    further = {
        "over_nginx": ratio,
        "without_error": [float(not any(run["errors"] for run in runs["corgi"]))],
        "frames_to_the_picture": frames,
        "within_a_frame": [float(max(frames) <= 1)],
    }
    values = {"corgi.requests_per_s": [run["requests_per_s"] for run in runs["corgi"]]}
    return common.report("demo", {"nginx": runs["nginx"]}, values | further, bars=BARS)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _served(command: list[str], port: int) -> Iterator[None]:
    """Run a server on the first core until the block ends."""
    child = subprocess.Popen(["taskset", "-c", "0", *command], env=common.environment(), stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if child.poll() is not None:
                    raise RuntimeError(f"{command[0]} ended with {child.returncode}") from None
                time.sleep(0.05)
        yield
    finally:
        child.terminate()
        child.wait()


async def _load(port: int, paths: list[str], *, seconds: float) -> Figures:
    """Ask for all paths in turn over connections that stay open; count answers that are not whole and 200 as errors."""
    end, counts = time.monotonic() + seconds, {"done": 0, "errors": 0}

    async def ask(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while time.monotonic() < end:
            writer.write(f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            counts["done"] += 1
            counts["errors"] += not head.startswith(b"http/1.1 200")
            number += 1
        writer.close()

    began = time.monotonic()
    results = await asyncio.gather(*(ask(first) for first in range(CONNECTIONS)), return_exceptions=True)
    counts["errors"] += sum(isinstance(result, BaseException) for result in results)
    return {"requests_per_s": counts["done"] / (time.monotonic() - began), "errors": float(counts["errors"])}


def _frames(folder: Path, port: int) -> list[float]:
    from tests.browser import browser

    with browser(Path(tempfile.mkdtemp(dir=folder))) as chromium:
        page = chromium.page(f"http://127.0.0.1:{port}/")
        time.sleep(1)  # until the neighbours are there
        frames = []
        for _ in range(CLICKS):
            frames.append(float(page.evaluate(FRAMES)))
            time.sleep(0.3)
        return frames


if __name__ == "__main__":
    raise SystemExit(main())
