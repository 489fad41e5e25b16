"""Masters and moments by parameter name, whatever ZeRO does with them.

    read(engine, name, what)    full fp32 tensor; all ranks must call, in the same order
    write(engine, name, what)   the same back; then the next step is the one an unbroken run would take

`what` is "params", "exp_avg" or "exp_avg_sq".
"""

from typing import Literal

import torch
from torch import Tensor

from .engine import MOMENTS, Engine

What = Literal["params", "exp_avg", "exp_avg_sq"]
KINDS: tuple[What, ...] = ("params", "exp_avg", "exp_avg_sq")
assert KINDS[1:] == MOMENTS


@torch.no_grad()
def read(engine: Engine, name: str, what: What) -> Tensor:
    """One parameter's tensor in full, on the engine's device. Not a copy where none is needed."""
    param = engine.params[name]
    if what == "params":
        return param.detach()  # fp32, and equal to the masters after every step
    if not engine.zero:
        return engine.adam.state[param][what]
    from deepspeed.utils import safe_get_full_optimizer_state

    return safe_get_full_optimizer_state(param, what)


@torch.no_grad()
def write(engine: Engine, name: str, what: What, value: Tensor) -> None:
    """Sets one parameter's tensor on this rank, which must be given all of it. value: fp32, the parameter's shape."""
    param = engine.params[name]
    if value.shape != param.shape:
        raise ValueError(f"{name}: expected shape {tuple(param.shape)}, got {tuple(value.shape)}")
    value = value.to(param.device)
    if what == "params":
        param.copy_(value)
    if not engine.zero:
        if what != "params":
            engine.adam.state[param][what].copy_(value)
        return
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    if what == "params":
        safe_set_full_fp32_param(param, value)
    else:
        safe_set_full_optimizer_state(param, value, what)


@torch.no_grad()
def set_updates(engine: Engine, count: int) -> None:
    """Adam corrects its bias by this count."""
    for state in engine.adam.state.values():
        state["step"].fill_(count)
