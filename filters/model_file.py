"""Models that come inside an installed package: where the file lies, and its digest.

Nothing is ever downloaded. The package is not imported to find the file, so that fingerprints stay cheap.
"""

import hashlib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from configs import UserError

from .devices import Device, resolved

if TYPE_CHECKING:
    import onnxruntime

ON_GPU = "CUDAExecutionProvider"


class ModelFile(NamedTuple):
    """A model file and what identifies it."""

    path: Path
    sha256: str  # 64 hex digits
    version: str  # of the package that brings it


def find(package: str, file: str, *, distribution: str) -> ModelFile:
    """Find the file `file` inside the importable `package`, which pip knows as `distribution`."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, file)
        if path.is_file():
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            return ModelFile(path, digest, version(distribution))
    raise UserError(f"{package}/{file} is not installed; run: pip install {distribution}")


def session(model: bytes | str, *, device: Device = "cpu") -> "onnxruntime.InferenceSession":
    """Open an ONNX session on one thread: there is a process a core, and threads would fight over them."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if device == "auto":
        device = resolved(device, key="device") if ON_GPU in available else "cpu"
    provider = {"cpu": "CPUExecutionProvider", "cuda": ON_GPU}[device]
    if provider not in available:
        raise UserError(f"this onnxruntime cannot use {device!r}; install onnxruntime-gpu or set device: cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(model, options, providers=[provider])
