"""Weights and Adam's moments by parameter name, whatever ZeRO does with them.

read(engine, name, kind)           full fp32 tensor; all ranks must call, in the same order
write(engine, name, kind, value)   the same back; then the next step is the one an unbroken run would take
"""

from typing import Literal

import torch
from torch import Tensor

from .engine import MOMENTS, Engine

Kind = Literal["params", "exp_avg", "exp_avg_sq"]
KINDS: tuple[Kind, ...] = ("params", "exp_avg", "exp_avg_sq")
assert KINDS[1:] == MOMENTS


@torch.no_grad()
def read(engine: Engine, name: str, kind: Kind) -> Tensor:
    """Return one parameter's tensor in full, on the engine's device. Not a copy where none is needed."""
    param = engine.params[name]
    if kind == "params":
        return param.detach()  # fp32, and equal to the masters after every step
    if not engine.zero:
        return engine.adam.state[param][kind]
    from deepspeed.utils import safe_get_full_optimizer_state

    return safe_get_full_optimizer_state(param, kind)


@torch.no_grad()
def write(engine: Engine, name: str, kind: Kind, value: Tensor) -> None:
    """Set one parameter's tensor on this rank, which must be given all of it. value: fp32, the parameter's shape."""
    param = engine.params[name]
    if value.shape != param.shape:
        raise ValueError(f"{name}: expected shape {tuple(param.shape)}, got {tuple(value.shape)}")
    value = value.to(param.device)
    if kind == "params":
        param.copy_(value)
    if not engine.zero:
        if kind != "params":
            engine.adam.state[param][kind].copy_(value)
        return
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    if kind == "params":
        safe_set_full_fp32_param(param, value)
    else:
        safe_set_full_optimizer_state(param, value, kind)


@torch.no_grad()
def set_updates(engine: Engine, count: int) -> None:
    """Set the number of updates that Adam corrects its bias by."""
    for state in engine.adam.state.values():
        state["step"].fill_(count)
