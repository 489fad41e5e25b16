"""What a stage's config amounts to, before anything is trained: parameters by part, sizes, arithmetic, memory.

text = explain(stage).text          built on the meta device, so 2 B parameters cost no memory
"""

import math
from collections import Counter
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from .adm import AdmConfig
from .conditioning import null_text_embeds
from .diffusion import log_snr_at
from .layers import UNet
from .stage import StageConfig, build

GIB = 2**30


class Explanation(NamedTuple):
    """The figures for programs, the text for people."""

    figures: dict[str, Any]
    text: str


def parameters(stage: StageConfig) -> int:
    """Return how many parameters a stage's net has."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(stage).parameters())


def explain(stage: StageConfig) -> Explanation:
    """Return everything that follows from a stage's config. A pure function of it."""
    with torch.device("meta"):
        net = build(stage)
    parts = parameters_by_part(net)
    total = sum(parts.values())
    low, high = log_snr_at(stage.diffusion, torch.tensor([1.0, 0.0], dtype=torch.float64)).tolist()
    figures = {
        "stage": stage.name,
        "parameters": total,
        "parts": parts,
        "makes_px": stage.image_px,
        "enlarges_px": stage.low_res_px,
        "trains_on_px": stage.train_px,
        "feature_maps_px": feature_maps_px(stage, stage.image_px),
        "feature_maps_training_px": feature_maps_px(stage, stage.train_px),
        "forward_gflop_training": forward_flops(net, stage, stage.train_px) / 1e9,
        "forward_gflop_sampling": forward_flops(net, stage, stage.image_px) / 1e9,
        "log_snr": (low, high),
        "bytes": {"weights": 4 * total, "adam": 8 * total, "ema": 4 * total},
    }
    return Explanation(figures, _text(stage, figures))


def parameters_by_part(net: UNet) -> dict[str, int]:
    """Return the parameters of each part, largest first."""
    counts = Counter(dict.fromkeys(("res blocks", "attention", "FiLM", "conditioning", "other convs"), 0))
    for name, parameter in net.named_parameters():
        counts[_part(name)] += parameter.numel()
    return dict(counts.most_common())


def _part(name: str) -> str:
    words = name.split(".")
    if words[0] == "conditioning":
        return "conditioning"
    for word, part in (("res", "res blocks"), ("attention", "attention"), ("film", "FiLM")):
        if word in words:
            return part
    return "other convs"


def feature_maps_px(stage: StageConfig, px: int) -> list[int]:
    """Return the side of each level's feature map for images of `px`, shallow to deep."""
    if isinstance(stage.model, AdmConfig):
        return [px // stage.model.patch >> level for level in range(len(stage.model.multipliers))]
    strides = stage.model.strides
    return [px // stage.model.patch // math.prod(strides[: level + 1]) for level in range(len(strides))]


def forward_flops(net: UNet, stage: StageConfig, px: int, *, tokens: int = 64) -> int:
    """Return the floating point operations of one image's forward pass (a multiply-add is two), on the meta device."""
    text = null_text_embeds(1, width=stage.text_width, tokens=tokens, device="meta")
    x, level = torch.empty(1, 3, px, px, device="meta"), torch.empty(1, device="meta")
    further = {} if stage.low_res_px is None else {"low_res": x, "aug_log_snr": level}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x, level, text_embeds=text.embeds, text_mask=text.mask, **further)
    return counter.get_total_flops()


def _text(stage: StageConfig, figures: dict[str, Any]) -> str:
    total, size = figures["parameters"], figures["bytes"]
    makes = f"{stage.image_px} px pictures from " + (f"{stage.low_res_px} px" if stage.low_res_px else "noise")
    crops = f", trained on crops of {stage.crop_px} px" if stage.crop_px else ""
    diffusion, sampler = stage.diffusion, stage.sampler
    whole, trained = (", ".join(map(str, figures[f"feature_maps{when}_px"])) for when in ("", "_training"))
    in_training = f" ({trained} px in training)" if trained != whole else ""
    lines = [
        f"{stage.name}: {makes}{crops}",
        f"parameters   {total:,} ({total / 1e6:,.1f} M)",
        *(f"  {part:<13}{count:>15,}  {count / total:6.1%}" for part, count in figures["parts"].items()),
        f"levels       {whole} px{in_training}",
        f"forward      {figures['forward_gflop_training']:,.1f} GFLOP per training picture, "
        f"{figures['forward_gflop_sampling']:,.1f} per whole picture; training takes 3x",
        f"fp32 memory  weights {size['weights'] / GIB:.2f} GiB, Adam {size['adam'] / GIB:.2f}, "
        f"each EMA track {size['ema'] / GIB:.2f}",
        f"diffusion    {diffusion.schedule}, predicts {diffusion.prediction}, weighting {diffusion.weighting}, "
        f"log-SNR {figures['log_snr'][0]:.1f}..{figures['log_snr'][1]:.1f}",
        f"sampler      {sampler.method}, {sampler.steps} steps, guidance {sampler.guidance:g}, "
        f"threshold {sampler.threshold}",
    ]
    return "\n".join(lines)
