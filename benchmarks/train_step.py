"""A training step of a U-Net at 64 px with about 28 M parameters: forward, backward, AdamW, in fp32 on all cores.

GFLOP/s are those of the matrix products and convolutions that torch counts in the step itself, the same way for all;
the peak is what one large matrix product reaches in runs of its own between the others. Nets of one size differ in
what they compute for a sample, so samples/s stand beside.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks import common
from benchmarks.common import Contender, Figures, Run, Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

PX, TEXT_TOKENS, TEXT_WIDTH = 64, 32, 384
WIDTHS = (64, 128, 192, 256)  # channels at 64, 32, 16 and 8 px
RES_BLOCKS = 2  # a level: 28.4 M parameters, imagen-pytorch 28.3 M, diffusers 28.0 M
MATMUL = 3072  # side of the matrices
FULL = {"batch": 8, "steps": 4}
QUICK = {"batch": 1, "steps": 1}
BARS = {"share_of_peak": 0.65, "share_over_imagen_pytorch": 1.5, "share_over_diffusers": 1.5}


def matmul(settings: Settings) -> Run:
    """Prepare the peak: one large fp32 matrix product."""
    import torch

    a, b = torch.randn(2, MATMUL, MATMUL)

    def run() -> Figures:
        torch.mm(a, b)
        began = time.perf_counter()
        for _ in range(settings["steps"]):
            torch.mm(a, b)
        return {"gflops": settings["steps"] * 2 * MATMUL**3 / 1e9 / (time.perf_counter() - began)}

    return run


def corgi(settings: Settings) -> Run:
    """Prepare Corgi's ADM net within its training loss."""
    import numpy as np
    import torch

    from cascade.stage import StageConfig, build
    from training.data.loader import Batch
    from training.loss import DiffusionLoss

    model = {"kind": "adm", "channels": WIDTHS[0], "res_blocks": RES_BLOCKS, "text_dim": TEXT_WIDTH}
    stage = StageConfig.model_validate({"name": "base64", "image_px": PX, "text_width": TEXT_WIDTH, "model": model})
    x, noise, text = _inputs(settings["batch"])
    count = len(x)
    batch = Batch(
        positions=np.arange(count),
        keys=[""] * count,
        captions=[""] * count,
        x=x,
        noise=noise,
        time=torch.rand(count),
        text_embeds=text,
        text_mask=torch.ones(text.shape[:2], dtype=torch.bool),
        low_res=None,
        aug_level=None,
        aug_noise=None,
    )
    loss = DiffusionLoss(build(stage), stage, precision="fp32")
    return _steps(loss, lambda: loss(batch).mean(), settings)


def imagen_pytorch(settings: Settings) -> Run:
    """Prepare imagen-pytorch's Unet with the same widths, blocks and attention."""
    import torch
    from transformers import T5Config

    with patch.object(T5Config, "from_pretrained", return_value=T5Config()):  # its import asks the network for one
        from imagen_pytorch import Unet
    x, noise, text = _inputs(settings["batch"])
    net = Unet(
        dim=WIDTHS[0],
        dim_mults=tuple(width // WIDTHS[0] for width in WIDTHS),
        num_resnet_blocks=RES_BLOCKS,
        layer_attns=(False, True, True, True),
        layer_cross_attns=(False, True, True, True),
        text_embed_dim=TEXT_WIDTH,
        cond_dim=TEXT_WIDTH,
        attn_heads=4,
        max_text_len=TEXT_TOKENS,
    )
    mask, times = torch.ones(text.shape[:2], dtype=torch.bool), torch.rand(len(x))
    return _steps(net, lambda: _error(net(x, times, text_embeds=text, text_mask=mask), noise), settings)


def diffusers(settings: Settings) -> Run:
    """Prepare diffusers' UNet2DConditionModel in the layout of DeepFloyd's pixel model."""
    import torch
    from diffusers import UNet2DConditionModel

    x, noise, text = _inputs(settings["batch"])
    net = UNet2DConditionModel(
        sample_size=PX,
        in_channels=3,
        out_channels=3,
        block_out_channels=WIDTHS,
        layers_per_block=RES_BLOCKS,
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        encoder_hid_dim=TEXT_WIDTH,
        attention_head_dim=64,
        resnet_time_scale_shift="scale_shift",
    )
    times = torch.randint(1000, (len(x),))
    return _steps(net, lambda: _error(net(x, times, encoder_hidden_states=text).sample, noise), settings)


def _inputs(batch: int) -> "tuple[Tensor, Tensor, Tensor]":
    """Return noisy images and their noise, (batch, 3, px, px) each, and the text, (batch, tokens, width)."""
    import torch

    torch.manual_seed(0)
    return (*torch.randn(2, batch, 3, PX, PX), torch.randn(batch, TEXT_TOKENS, TEXT_WIDTH))


def _error(answer: Any, noise: "Tensor") -> "Tensor":
    return (answer - noise).square().mean()


def _steps(net: "nn.Module", loss: "Callable[[], Tensor]", settings: Settings) -> Run:
    """Return a run of some steps, after one in which their floating point operations are counted."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    steps, batch = settings["steps"], settings["batch"]

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # fused attention is not counted
        step()
    gflop = counter.get_total_flops() / 1e9
    step()

    def run() -> Figures:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        seconds = (time.perf_counter() - began) / steps
        return {
            "gflops": gflop / seconds,
            "samples_per_s": batch / seconds,
            "gflop_per_sample": gflop / batch,
            "million_parameters": sum(parameter.numel() for parameter in net.parameters()) / 1e6,
        }

    return run


CONTENDERS = {
    "matmul": Contender(matmul),
    "corgi": Contender(corgi),
    "imagen_pytorch": Contender(imagen_pytorch, needs=("torch", "imagen_pytorch")),
    "diffusers": Contender(diffusers, needs=("torch", "diffusers")),
}


def measure(given: argparse.Namespace) -> int:
    """Run all contenders in turn and report."""
    settings = {
        "batch": 1 if given.quick else 8,
        "steps": 1 if given.quick else 4,
        "res_blocks": 1 if given.quick else 3,
    }
    with common.ready(__spec__.name, CONTENDERS, settings, threads=os.cpu_count() or 1) as sides:
        runs = common.alternate(sides, rounds=given.rounds)
    shares = {name: common.ratios(runs, name, "matmul", "gflops") for name in ("corgi", "imagen_pytorch", "diffusers")}
    further = {"share_of_peak": shares["corgi"]}
    for peer in ("imagen_pytorch", "diffusers"):
        further[f"{peer}.share_of_peak"] = shares[peer]
        further[f"share_over_{peer}"] = common.ratios(runs, "corgi", peer, "gflops")
        further[f"samples_over_{peer}"] = common.ratios(runs, "corgi", peer, "samples_per_s")
    return common.report("train_step", runs, further, bars=BARS)


if __name__ == "__main__":
    sys.exit(common.main(__doc__, CONTENDERS, measure))
