"""What a model runs on: `auto` is a GPU where there is one."""

from typing import Literal

from configs import UserError

Device = Literal["auto", "cpu", "cuda"]


def resolved(device: Device, *, key: str) -> Literal["cpu", "cuda"]:
    """Return cpu or cuda; auto is cuda where torch can use a GPU. key: of the config.

    Raises UserError where cuda is asked for and torch finds no GPU.
    """
    if device == "cpu":
        return device
    import torch

    is_there = torch.cuda.is_available()
    if device == "cuda" and not is_there:
        raise UserError(f"{key} is cuda, and torch finds no GPU here; set device: cpu, or auto")
    return "cuda" if is_there else "cpu"
