"""accelerate and DeepSpeed, made from one config.

    net --DiffusionLoss--> accelerate + DeepSpeed plugin --> Engine: loss, backward, step

DeepSpeed's JSON is generated here and nowhere else. Weights are fp32 and bf16 is an autocast over them, so masters
and weights are the same numbers. Learning rates are set from outside at every step; DeepSpeed has no scheduler.
"""

import logging
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cascade.layers import UNet

from .config import OptimConfig, TrainConfig, accumulation, effective_zero
from .data.loader import Batch
from .distributed import Ranks, limit_collectives, partition
from .loss import DiffusionLoss

MOMENTS = ("exp_avg", "exp_avg_sq")
BUCKET = 50_000_000  # elements that are sent at once


@dataclass(frozen=True)
class StepResult:
    """What came of one optimizer step."""

    grad_norm: float  # global, before it was clipped
    applied: bool  # False: some number was not finite, and nothing has changed on any rank


def deepspeed_config(config: TrainConfig, *, world_size: int, elements: int) -> dict[str, Any]:
    """Return DeepSpeed's JSON. elements: parameters of the net, so that buffers are not larger than it."""
    zero = effective_zero(config, world_size)
    bucket = max(2, min(BUCKET, elements) // 2 * 2)  # the all-gather wants an even number
    return {
        "train_batch_size": config.batch,
        "train_micro_batch_size_per_gpu": config.micro_batch,
        "gradient_accumulation_steps": accumulation(config, world_size),
        "gradient_clipping": config.optim.clip if zero else 0.0,  # without ZeRO we clip, and see the norm first
        "zero_optimization": {
            "stage": zero,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "overlap_comm": False,  # with both off, ZeRO-1 needs no hooks: it reduces once, at the end of a step
            "contiguous_gradients": zero == 2,  # ZeRO-2 reduces as it goes, from one buffer
        },
        "zero_allow_untested_optimizer": True,  # torch's own AdamW: DeepSpeed's would be compiled for minutes
        "zero_force_ds_cpu_optimizer": False,  # the same for optimizers on a CPU
        "steps_per_print": 2**62,  # never: the ledger tells of steps
    }


class Engine:
    """One net in training. Every rank makes one, and all call the same methods in the same order."""

    def __init__(self, config: TrainConfig, net: UNet, *, ranks: Ranks) -> None:
        net.recompute = config.recompute
        self.config, self.ranks = config, ranks
        self.zero = effective_zero(config, ranks.world_size)
        objective = DiffusionLoss(net.to(ranks.device), config.stage, precision=config.precision)
        adam = _adam(config.optim, net)
        self._engine = _prepared(config, objective, adam, ranks=ranks)
        self.objective = objective
        self.params: dict[str, nn.Parameter] = dict(objective.net.named_parameters())  # what trains, by its own name
        sizes = {name: param.numel() for name, param in self.params.items()}
        shares = partition(sizes, world_size=ranks.world_size)
        self.share = shares[ranks.rank]  # names this rank saves and averages
        self.owner = {name: rank for rank, names in enumerate(shares) for name in names}
        self.adam = adam
        _make_state(self)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a micro-batch, with its graph."""
        return self._engine(batch.to(self.ranks.device)).mean()

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of a micro-batch's mean loss. `last` of the step: gradients are shared now.

        A loss that is not finite makes every gradient not-a-number, so that the shared norm tells all ranks.
        """
        poison = torch.where(torch.isfinite(loss.detach()), 1.0, math.nan)
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * poison)

    def step(self, *, lr: float) -> StepResult:
        """Take the optimizer step, on all ranks or on none."""
        for group in self.adam.param_groups:
            group["lr"] = lr
        return self._step_shared() if self.zero else self._step_plain()

    def _step_plain(self) -> StepResult:
        norm = float(nn.utils.clip_grad_norm_(self.params.values(), self.config.optim.clip))
        if not math.isfinite(norm):
            self._engine.zero_grad()
            return StepResult(norm, applied=False)
        self._engine.step()
        return StepResult(norm, applied=True)

    def _step_shared(self) -> StepResult:
        self._engine.step()
        applied = bool(self._engine.was_step_applied())
        norm = float(self._engine.get_global_grad_norm() if applied else math.nan)
        return StepResult(norm, applied=applied)


def _adam(config: OptimConfig, net: nn.Module) -> torch.optim.AdamW:
    params = [param for param in net.parameters() if param.requires_grad]
    return torch.optim.AdamW(
        params, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay, fused=True
    )


def _prepared(config: TrainConfig, objective: DiffusionLoss, adam: torch.optim.Optimizer, *, ranks: Ranks) -> Any:
    """Return DeepSpeed's engine by way of accelerate, quiet and without a compiler."""
    os.environ.setdefault("DS_ACCELERATOR", ranks.device.type)  # else it looks for what is installed
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    import deepspeed
    from accelerate import Accelerator, DeepSpeedPlugin
    from accelerate.utils import InitProcessGroupKwargs

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)  # it also prints what the ledger says
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # else it is compiled at the first start, 57 s
    elements = sum(param.numel() for param in objective.parameters())
    knobs = deepspeed_config(config, world_size=ranks.world_size, elements=elements)
    gloo = [InitProcessGroupKwargs(backend="gloo")] if ranks.device.type == "cpu" else []
    accelerator = Accelerator(
        deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=knobs),
        gradient_accumulation_steps=knobs["gradient_accumulation_steps"],
        kwargs_handlers=gloo,
    )
    engine, _ = accelerator.prepare(objective, adam)
    if ranks.world_size > 1:
        limit_collectives(60 * config.health.hang_min)  # DeepSpeed has made groups by now
    if ranks.world_size == 1 and not effective_zero(config, 1):
        engine.enable_backward_allreduce = False  # it copies all gradients to and fro, 10 % of a step on a CPU
    return engine


def _make_state(engine: Engine) -> None:
    """Make Adam's state at the start, zero as Adam itself would, so that it can be read and set at any time."""
    for group in engine.adam.param_groups:
        for param in group["params"]:
            state = {name: torch.zeros_like(param) for name in MOMENTS}
            engine.adam.state[param] = {"step": torch.zeros((), dtype=torch.float32, device=param.device), **state}
    if engine.zero:
        engine._engine.optimizer._lazy_init_hp_params_optimizer_state()  # else it is unknown before the first step
