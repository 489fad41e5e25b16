"""A stage that does nothing is as good as bilinear; one that knows the image is better; one that spoils it, worse."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cascade.diffusion import DiffusionConfig
from cascade.samplers import SamplerConfig
from cascade.text_encoder import TextConfig
from cascade.weights import LoadedStage
from evaluation.enlarging import Drift, drift, error_ratio
from tests.cascade.nets import BASE, SR, WIDTH

STAGE = SR.model_copy(
    update={
        "diffusion": DiffusionConfig(prediction="x"),
        "sampler": SamplerConfig(method="ddim", steps=2, guidance=1.0, threshold="none", aug_level=0.0),
    }
)
EMBEDS = [np.zeros((3, WIDTH), np.uint16)] * 2


class Answers(nn.Module):
    """A net whose x-hat is an image that it was given, or its low-res input."""

    def __init__(self, image: Tensor | None = None) -> None:
        super().__init__()
        self.image, self.one = image, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, log_snr: Tensor, *, low_res: Tensor, **_: object) -> Tensor:
        return self.one * (low_res if self.image is None else self.image)


def stage(net: nn.Module) -> LoadedStage:
    return LoadedStage(STAGE, TextConfig(), net, step=1, track="ema", folder=Path())  # type: ignore[arg-type]


def ratio(net: nn.Module, images: np.ndarray) -> float | None:
    return error_ratio(stage(net), images, text_embeds=EMBEDS, seeds=[1, 2])


def test_copying_is_one_knowing_is_nought_and_spoiling_is_more():
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    real = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert ratio(Answers(), images) == pytest.approx(1, abs=0.01)
    known, spoilt = ratio(Answers(real), images), ratio(Answers(-real), images)
    assert known is not None and known < 1e-3
    assert spoilt is not None and spoilt > 2


def test_what_cannot_be_measured_is_said():
    flat = np.full((2, 64, 64, 3), 200, np.uint8)
    assert ratio(Answers(), flat) is None
    base = LoadedStage(BASE, TextConfig(), Answers(), step=1, track="ema", folder=Path())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not enlarge"):
        error_ratio(base, flat, text_embeds=EMBEDS, seeds=[1, 2])


def low_res(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, (6, 4, 4, 3), dtype=np.uint8)


def test_a_plain_enlargement_does_not_drift():
    small = low_res()
    assert drift(small.repeat(4, 1).repeat(4, 2), low_res=small) == Drift(0, 0, (0, 0, 0))


def test_a_tint_is_found_in_its_channel():
    small = low_res()
    large = small.repeat(4, 1).repeat(4, 2)
    large[..., 1] += 10
    moved = drift(large, low_res=small)
    assert moved.bias == pytest.approx((0, 10 / 255, 0))
    assert moved.mean == pytest.approx(10 / 255 / 3) and moved.worst == pytest.approx(10 / 255)


def test_opposite_tints_do_not_cancel_in_the_mean():
    small = low_res()
    large = small.repeat(2, 1).repeat(2, 2)
    large[:3] += 20
    large[3:] -= 20
    moved = drift(large, low_res=small)
    assert moved.bias == pytest.approx((0, 0, 0)) and moved.mean == pytest.approx(20 / 255)


def test_images_without_inputs_are_refused():
    with pytest.raises(ValueError, match="6 images, 5 inputs"):
        drift(low_res(), low_res=low_res()[:5])
    with pytest.raises(ValueError, match="uint8"):
        drift(low_res() / 255, low_res=low_res())
