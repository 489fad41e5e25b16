"""The steps since the last line of the log: what was lost, how long it took and for what, and what memory is held."""

import math
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

STATM = Path("/proc/self/statm")  # sizes in pages; the second is what is resident


@dataclass
class Recent:
    """Steps of this rank, whose losses are those of all ranks."""

    losses: list[float] = field(default_factory=list)  # of the steps that were applied
    seconds: float = 0.0  # that all of them took
    data_s: float = 0.0  # of these, spent waiting for batches
    lr: float = 0.0  # of the last step
    grad_norm: float | None = None  # of the last step; None where it was not finite: JSON has no word for that

    @property
    def loss(self) -> float:
        """Return the mean loss."""
        return math.fsum(self.losses) / len(self.losses)

    def line(self, *, batch: int) -> dict[str, Any]:
        """Return what the ledger keeps of these steps. batch: samples of a step, over all ranks."""
        seconds = max(self.seconds, 1e-9)
        return {
            "loss": self.loss,
            "grad_norm": self.grad_norm,
            "lr": self.lr,
            "images_per_s": round(len(self.losses) * batch / seconds, 2),
            "steps": len(self.losses),
            "data_s": round(self.data_s, 3),
            "compute_s": round(self.seconds - self.data_s, 3),
            "data_share": round(self.data_s / seconds, 4),
            **memory_mib(),
        }


def memory_mib() -> dict[str, int]:
    """Return the memory of this process: resident now and at most, and at most on its GPU, where it has one."""
    unit = 1024 if sys.platform == "linux" else 2**20  # macOS says bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    now = int(STATM.read_text().split()[1]) * resource.getpagesize() // 2**20 if STATM.exists() else peak
    gpu = {"gpu_mib": torch.cuda.max_memory_allocated() // 2**20} if torch.cuda.is_initialized() else {}
    return {"rss_mib": now, "peak_mib": peak, **gpu}
