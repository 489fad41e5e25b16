"""From captions to pictures through two small stages with random weights."""

from typing import Any

import numpy as np
import pytest
import torch

from cascade.conditioning import pad_text
from cascade.diffusion import aug_log_snr
from cascade.sample import Cascade, denoiser, draw
from cascade.sampler import SamplerConfig
from cascade.text import TextConfig, bits
from configs import UserError

from .checkpoints import save
from .encoders import CAPTIONS, small_t5
from .nets import BASE, SR, WIDTH, awake

QUICK = SamplerConfig(method="ddim", steps=4, guidance=2.0)
SAMPLERS = {BASE.name: QUICK, SR.name: QUICK}


def states(count, seed=0):
    made = torch.randn(count, 6, WIDTH, generator=torch.Generator().manual_seed(seed))
    return [bits(one)[: 2 + row % 4] for row, one in enumerate(made)]


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    save(runs / "sr", 10, SR, {"ema_ema": awake(SR)})
    save(runs / "base", 20, BASE, {"ema_ema": awake(BASE)})
    return Cascade.load([runs / "sr", runs / "base"])


def near(one, other):
    """Equal but for the last bit of a rounding."""
    return np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_every_stage_gives_its_pictures(cascade):
    made = cascade.sample(states(3), [1, 2, 3], samplers=SAMPLERS)
    assert {name: (value.shape, value.dtype) for name, value in made.items()} == {
        "base16": ((3, 16, 16, 3), np.uint8),
        "sr64": ((3, 64, 64, 3), np.uint8),
    }


def test_a_picture_is_its_seed_s_and_its_text_s_not_its_batch_s(cascade):
    known = states(5)
    together = cascade.sample(known, [4, 5, 6, 7, 8], samplers=SAMPLERS)
    in_twos = cascade.sample(known, [4, 5, 6, 7, 8], samplers=SAMPLERS, batch=2)
    alone = cascade.sample(known[2:3], [6], samplers=SAMPLERS)
    for name, pictures in together.items():
        assert near(pictures, in_twos[name]) and near(pictures[2:3], alone[name])
    again = cascade.sample(known, [4, 5, 6, 7, 8], samplers=SAMPLERS)
    assert all(np.array_equal(again[name], together[name]) for name in together)
    other_seed = cascade.sample(known[2:3], [60], samplers=SAMPLERS)
    other_text = cascade.sample(known[3:4], [6], samplers=SAMPLERS)
    for other in (other_seed, other_text):
        assert not near(other["base16"], alone["base16"])


def test_an_sr_stage_alone_enlarges_given_pictures(cascade):
    whole = cascade.sample(states(2), [1, 2], samplers=SAMPLERS)
    alone = Cascade(cascade.stages[1:]).sample(states(2), [1, 2], start=whole["base16"], samplers=SAMPLERS)
    assert np.array_equal(alone["sr64"], whole["sr64"])


def test_the_augmentation_level_reaches_the_picture_and_the_net():
    seen = []

    class Spy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, log_snr, *, text, text_mask, low_res, aug_log_snr):
            seen.append((low_res, aug_log_snr))
            return x * self.weight

    grey = torch.full((2, 3, 16, 16), 128, dtype=torch.uint8)
    spy: Any = Spy()
    text = pad_text(states(2), width=WIDTH)
    for level in (0.0, 0.4):
        quick = QUICK.model_copy(update={"aug_level": level, "guidance": 1.0})
        draw(SR, spy, text=text, seeds=[1, 2], low_res=grey, sampler=quick)
    clean, noisy = seen[0], seen[-1]
    assert clean[0].std() == 0 and noisy[0].std() > 0.2
    assert not torch.equal(noisy[0][0], noisy[0][1])
    assert torch.equal(noisy[1], aug_log_snr(torch.tensor([0.4, 0.4])))


def test_guidance_one_asks_for_the_conditional_picture_only_and_zero_ignores_the_text():
    net, text = awake(BASE), pad_text(states(2), width=WIDTH)
    z, level = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor(0.5)

    def x_hat(guidance, told):
        config = SamplerConfig(guidance=guidance, threshold="none")
        with torch.no_grad():
            return denoiser(BASE, net, config, text=told)(z, level)

    other = pad_text(states(2, seed=9), width=WIDTH)
    torch.testing.assert_close(x_hat(0.0, text), x_hat(0.0, other))
    plain, unconditional = x_hat(1.0, text), x_hat(0.0, text)
    assert not torch.allclose(plain, unconditional, atol=1e-4)
    torch.testing.assert_close(x_hat(3.0, text), unconditional + 3 * (plain - unconditional), atol=1e-5, rtol=1e-5)


def test_captions_are_encoded_by_the_encoder_of_training(tmp_path):
    encoder = TextConfig(encoder=str(small_t5(tmp_path / "t5")))
    stage = BASE.model_copy(update={"text_width": 32})
    save(tmp_path / "run", 1, stage, {"ema_ema": awake(stage)}, text=encoder)
    made = Cascade.load([tmp_path / "run"]).sample(CAPTIONS[:2], [0, 0], samplers=SAMPLERS)
    assert made["base16"].shape == (2, 16, 16, 3)
    assert not near(*made["base16"])


def test_wrong_use_is_one_clear_line(cascade):
    base, sr = cascade.stages
    with pytest.raises(UserError, match="enlarges 16 px, but sr64 makes 64 px"):
        Cascade([sr, sr])
    with pytest.raises(UserError, match=r"give start pictures \(1, 16, 16, 3\) uint8, got none"):
        Cascade([sr]).sample(states(1), [0])
    with pytest.raises(UserError, match="starts from noise"):
        Cascade([base]).sample(states(1), [0], start=np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="one seed per text: got 2 texts and 1 seeds"):
        cascade.sample(states(2), [0])
