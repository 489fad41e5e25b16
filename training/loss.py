"""From a batch to the loss of each sample: noise is added, the net answers, diffusion judges."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from cascade.diffusion import add_noise, aug_log_snr, augment, log_snr_at, loss_per_sample
from cascade.stage import StageConfig

from .data.loader import Batch
from .vital_signs import beat


class DiffusionLoss(nn.Module):
    """The net with its training loss around it. Calling it costs one forward pass of the net."""

    def __init__(self, net: nn.Module, stage: StageConfig, *, precision: str) -> None:
        super().__init__()
        self.net, self.stage, self.precision = net, stage, precision

    def forward(self, batch: Batch) -> Tensor:
        """Return the weighted squared error of each sample, (b,) fp32."""
        beat()
        diffusion = self.stage.diffusion
        log_snr = log_snr_at(diffusion, batch.time)
        z = add_noise(batch.x, noise=batch.noise, log_snr=log_snr)
        output = self.answer(z, log_snr, batch)
        return loss_per_sample(diffusion, output, x=batch.x, noise=batch.noise, log_snr=log_snr)

    def answer(self, z: Tensor, log_snr: Tensor, batch: Batch) -> Tensor:
        """Return what the net's head says of noisy images z, (b, 3, h, w); text and low-res input are the batch's."""
        further = {} if batch.dropout is None else {"dropout": batch.dropout}
        if batch.low_res is not None and batch.aug_level is not None and batch.aug_noise is not None:
            level, schedule = batch.aug_level, self.stage.aug_schedule
            further["low_res"] = augment(batch.low_res, noise=batch.aug_noise, level=level, schedule=schedule)
            further["aug_log_snr"] = aug_log_snr(level, schedule=schedule)
        with self._autocast(z.device):
            return self.net(z, log_snr, text_embeds=batch.text_embeds, text_mask=batch.text_mask, **further)

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return what to enter inside the module: DeepSpeed turns off an autocast that is entered outside."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()
