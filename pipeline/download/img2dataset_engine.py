"""A shard with img2dataset: the library fetches and resizes, we plan for it and adopt what it made.

It stays what it is. It asks for no robots.txt, sends browser-like headers, connects to private addresses, has no cap on
bytes, looks at sizes after decoding, and ignores EXIF orientation; html and damaged files are both `corrupt` to it, and
of an answer it keeps the status only. Its JPEGs go into our tar unchanged.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tar import TarReader

from . import img2dataset_child
from .config import DownloadConfig
from .img2dataset_words import http_status_of, reason_of
from .record import OK, Add, Outcome

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
LOG_LINES = 5  # of the library's output in an error


def adopt_shard(config: DownloadConfig, planned: Sequence[dict[str, Any]], add: Add, *, scratch: Path) -> None:
    """Adds the outcome of every planned pair, in order. `scratch` is a folder for the library's own files."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _run_library(config, planned, scratch)
        _adopt(config, planned, add, scratch / "out")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_library(config: DownloadConfig, planned: Sequence[dict[str, Any]], scratch: Path) -> None:
    """Its exit code says little and its main process may wait for ever: only the stats file counts, written last."""
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
        said = (scratch / "log.txt").read_text(errors="replace").splitlines()[-LOG_LINES:]
        raise RuntimeError(f"img2dataset did not finish within watchdog_s={config.watchdog_s}: {' | '.join(said)}")


def _arguments(config: DownloadConfig, count: int, scratch: Path) -> dict[str, Any]:
    """The call that comes closest to what the guarded engine does."""
    return {
        "url_list": str(scratch / "urls.parquet"),
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "output_folder": str(scratch / "out"),
        "output_format": "webdataset",
        "number_sample_per_shard": max(10, count),
        "processes_count": 1,
        "thread_count": config.connections,
        "image_size": config.max_side_px,
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
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
    """albumentations asks the network at import unless told not to. The resolver map becomes a proxy: there can be one,
    so the last target, which is the most general, stands for all."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES or not config.resolve}
    proxy = {"http_proxy": f"http://{list(config.resolve.values())[-1]}"} if config.resolve else {}
    return {**kept, **proxy, "NO_ALBUMENTATIONS_UPDATE": "1"}


def _adopt(config: DownloadConfig, planned: Sequence[dict[str, Any]], add: Add, out: Path) -> None:
    """Its rows and pictures come in the order of completion; keys are positions in the plan."""
    rows = {int(row["key"]): row for row in pq.read_table(out / "00000.parquet").to_pylist()}
    with tarfile.open(out / "00000.tar") as tar:
        members = {int(info.name[:-4]): info for info in tar if info.name.endswith(".jpg")}
    with TarReader(out / "00000.tar") as pictures:
        for position, pair in enumerate(planned):
            outcome = _outcome(rows.get(position), pair, config)
            if outcome.status == OK:
                info = members[position]
                outcome.stored = pictures.read(info.offset_data, size=info.size)
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
