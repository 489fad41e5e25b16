"""A shard with img2dataset: the library fetches and resizes, we plan for it and adopt what it made.

It stays what it is. It asks for no robots.txt, sends browser-like headers, connects to private addresses, has no cap on
bytes, looks at sizes after decoding, and ignores EXIF orientation; html and damaged files are both `corrupt` to it, and
of an answer it keeps the status only. With `only_if_bigger`, it makes no square of what is just as large as size_px.
Its JPEGs, all encoded anew whatever `originals` says, go into our tar unchanged.

It is called for one shard at a time. Its distributors on Spark and Ray take that call elsewhere; shards are spread over
machines by ranks, whichever it is.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs import UserError
from storage.pairs import OK, Add, Outcome
from storage.tar import TarReader

from . import img2dataset_child
from .config import DownloadConfig

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
LOG_LINES = 5  # of the library's output in an error
# (pattern in the message, reason), first match wins. {0} is the pattern's first group.
FAILED_TO_DOWNLOAD = (
    (r"would lead to an infinite loop", "too_many_redirects"),
    (r"Redirection to url .* is not allowed", "bad_scheme"),
    (r"HTTP Error (\d+)", "http_{0}"),
    (r"X-Robots-Tag", "opt_out"),
    (r"hash mismatch", "hash_mismatch"),
    (r"unknown url type", "bad_scheme"),
    (r"no host given|control characters|nonnumeric port|Invalid IPv6|codec can't encode", "bad_url"),
    (r"Name or service not known|No address associated|Temporary failure in name|nodename nor servname", "dns"),
    (r"timed out", "timeout"),
    (r"\bssl\b|SSL:|CERTIFICATE_VERIFY", "tls"),
    (r"IncompleteRead|Connection reset", "cut_off"),
)
FAILED_TO_RESIZE = (
    (r"image too small", "too_small"),
    (r"image area too large|CV_IO_MAX_IMAGE_PIXELS", "too_many_pixels"),
    (r"aspect ratio too large", "bad_aspect"),
)
# Met only after the headers of a good answer.
AFTER_200 = ("opt_out", "hash_mismatch", "cut_off", "corrupt", *(reason for _, reason in FAILED_TO_RESIZE))


def adopt_shard(config: DownloadConfig, planned: Sequence[dict[str, Any]], add: Add, *, scratch: Path) -> None:
    """Add the outcome of every planned pair, in order. `scratch` is a folder for the library's own files."""
    _require(config.distributor)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _run_library(config, planned, scratch)
        _adopt(config, planned, add, scratch / "out")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def reason_of(status: str, message: str | None) -> str:
    """Return the reason for a row that img2dataset did not store. What it cannot tell apart, we cannot either."""
    table, other = (FAILED_TO_RESIZE, "corrupt") if status == "failed_to_resize" else (FAILED_TO_DOWNLOAD, "connect")
    for pattern, reason in table:
        if match := re.search(pattern, message or "", re.IGNORECASE):
            return reason.format(*match.groups())
    return other


def http_status_of(reason: str, message: str | None) -> int | None:
    """Return the status of the last answer as far as it is known: named, or 200 where a body came."""
    match = re.search(r"HTTP Error (\d+)", message or "")
    return int(match[1]) if match else 200 if reason in AFTER_200 else None


def _require(distributor: str) -> None:
    """Raise UserError where the library cannot run: it is not installed, or Python has lost a module that it needs."""
    if distributor != "multiprocessing" and find_spec(distributor) is None:
        raise UserError(f'download.distributor is {distributor}, which is not installed: pip install "{distributor}"')
    lacking = [name for name in ("img2dataset", "imghdr") if find_spec(name) is None]
    if lacking:
        raise UserError(
            f"download.engine is img2dataset, but this Python has no {' and no '.join(lacking)}; take Python 3.12 or "
            'older with "pip install img2dataset", or the engine "guarded"'
        )


def _run_library(config: DownloadConfig, planned: Sequence[dict[str, Any]], scratch: Path) -> None:
    """Run it to its end: by its stats file, written last. Its exit code says little, its main process may hang."""
    urls = pa.table({"url": [pair["url"] for pair in planned], "caption": [pair["caption"] for pair in planned]})
    pq.write_table(urls, scratch / "urls.parquet")
    arguments = scratch / "arguments.json"
    arguments.write_text(json.dumps(_arguments(config, len(planned), scratch)), encoding="utf-8")
    command = [sys.executable, "-P", img2dataset_child.__file__, str(arguments)]
    with (scratch / "log.txt").open("wb") as log:
        child = subprocess.Popen(
            command, env=_environment(config), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            child.wait(config.watchdog_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # its logger outlives it
            child.wait()
    stats = scratch / "out" / "00000_stats.json"
    if not stats.exists() or json.loads(stats.read_text())["count"] != len(planned):
        log_lines = (scratch / "log.txt").read_text(errors="replace").splitlines()[-LOG_LINES:]
        raise RuntimeError(f"img2dataset did not finish within watchdog_s={config.watchdog_s}: {' | '.join(log_lines)}")


def _arguments(config: DownloadConfig, count: int, scratch: Path) -> dict[str, Any]:
    """Return the call that comes closest to what the guarded engine does."""
    return {
        "url_list": str(scratch / "urls.parquet"),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "output_folder": str(scratch / "out"),
        "output_format": "webdataset",
        "number_sample_per_shard": max(10, count),
        "processes_count": 1,
        "distributor": config.distributor,
        "thread_count": config.connections,
        "image_size": config.size_px,
        "resize_mode": config.resize,
        "resize_only_if_bigger": config.only_if_bigger,
        "encode_quality": config.jpeg_quality,
        "extract_exif": False,
        "min_image_size": config.min_side_px,
        "max_image_area": config.max_pixels,
        "max_aspect_ratio": config.max_aspect,
        "compute_hash": _hash(config),
        "timeout": ceil(config.first_byte_s),
        "retries": config.retries,
        "max_shard_retry": 0,
        "user_agent_token": config.agent,
        "disallowed_header_directives": list(config.opt_out_directives) if config.opt_out == "honour" else [],
    }


def _hash(config: DownloadConfig) -> str:
    return "sha256" if config.verify_hash == "none" else config.verify_hash


def _environment(config: DownloadConfig) -> dict[str, str]:
    """Return the library's environment: albumentations, its part, asks the network at import unless forbidden.

    The resolver map becomes a proxy: there can be one, so the last target, which is the most general, stands for all.
    """
    kept = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES or not config.resolve}
    proxy = {"http_proxy": f"http://{list(config.resolve.values())[-1]}"} if config.resolve else {}
    workers = {"PYSPARK_PYTHON": sys.executable}  # else Spark's take what is called python3 today
    return {**workers, **kept, **proxy, "NO_ALBUMENTATIONS_UPDATE": "1"}


def _adopt(config: DownloadConfig, planned: Sequence[dict[str, Any]], add: Add, out: Path) -> None:
    """Add its rows and images, which lie in the order of completion; keys are positions in the plan."""
    rows = {int(row["key"]): row for row in pq.read_table(out / "00000.parquet").to_pylist()}
    with tarfile.open(out / "00000.tar") as tar:
        members = {int(info.name[:-4]): info for info in tar if info.name.endswith(".jpg")}
    with TarReader(out / "00000.tar") as images:
        for position, pair in enumerate(planned):
            outcome = _outcome(rows.get(position), pair, config)
            if outcome.status == OK:
                info = members[position]
                outcome.stored = images.read(info.offset_data, size=info.size)
            add(outcome)


def _outcome(row: dict[str, Any] | None, pair: dict[str, Any], config: DownloadConfig) -> Outcome:
    if row is None:
        return Outcome(status="corrupt", detail="img2dataset lost this row")
    if row["status"] != "success":
        message = row["error_message"]
        status = reason_of(row["status"], message)
        return Outcome(status=status, detail=message, http_status=http_status_of(status, message))
    outcome = Outcome(
        status=OK,
        http_status=200,
        fetched_sha256=row.get("sha256"),
        original_width=row["original_width"],
        original_height=row["original_height"],
    )
    expected = pair.get(config.verify_hash)
    if expected and str(expected).strip().lower() != row[_hash(config)]:
        outcome.status, outcome.detail = "hash_mismatch", f"the table says {expected}"
        return outcome
    outcome.stored_width, outcome.stored_height = row["width"], row["height"]
    return outcome
