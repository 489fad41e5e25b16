"""What a model runs on: `auto` is a GPU where there is one."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]


def resolved(device: Device) -> Literal["cpu", "cuda"]:
    """Return cpu or cuda; auto is cuda where torch can use a GPU."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
