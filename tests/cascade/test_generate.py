"""From captions to images through two small stages with random weights."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cascade import text_encoder
from cascade.conditioning import pad_text_embeds
from cascade.diffusion import aug_log_snr
from cascade.generate import Cascade, denoiser, generate
from cascade.samplers import SamplerConfig
from cascade.text_encoder import TextConfig, TextEncoder, bits
from configs import UserError

from .checkpoints import commit, save
from .encoders import CAPTIONS, small_t5
from .nets import BASE, SR, WIDTH, awake

QUICK = SamplerConfig(method="ddim", steps=4, guidance=2.0)
SAMPLERS = {BASE.name: QUICK, SR.name: QUICK}


def text_embeds(count, seed=0):
    values = torch.randn(count, 6, WIDTH, generator=torch.Generator().manual_seed(seed))
    return [bits(text)[: 2 + row % 4] for row, text in enumerate(values)]


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    save(runs / "sr", 10, SR, {"ema_ema": awake(SR)})
    save(runs / "base", 20, BASE, {"ema_ema": awake(BASE)})
    return Cascade.load([runs / "sr", runs / "base"])


def near(images, others):
    """Equal but for the last bit of a rounding."""
    return np.abs(images.astype(int) - others.astype(int)).max() <= 1


def test_every_stage_gives_its_images(cascade):
    images = cascade.sample(text_embeds(3), [1, 2, 3], samplers=SAMPLERS)
    assert {name: (value.shape, value.dtype) for name, value in images.items()} == {
        "base16": ((3, 16, 16, 3), np.uint8),
        "sr64": ((3, 64, 64, 3), np.uint8),
    }


@pytest.mark.long
def test_an_image_is_its_seed_s_and_its_text_s_not_its_batch_s(cascade):
    embeds = text_embeds(5)
    together = cascade.sample(embeds, [4, 5, 6, 7, 8], samplers=SAMPLERS)
    in_twos = cascade.sample(embeds, [4, 5, 6, 7, 8], samplers=SAMPLERS, batch=2)
    alone = cascade.sample(embeds[2:3], [6], samplers=SAMPLERS)
    for name, images in together.items():
        assert near(images, in_twos[name]) and near(images[2:3], alone[name])
    again = cascade.sample(embeds, [4, 5, 6, 7, 8], samplers=SAMPLERS)
    assert all(np.array_equal(again[name], together[name]) for name in together)
    other_seed = cascade.sample(embeds[2:3], [60], samplers=SAMPLERS)
    other_text = cascade.sample(embeds[3:4], [6], samplers=SAMPLERS)
    for other in (other_seed, other_text):
        assert not near(other["base16"], alone["base16"])


def test_an_sr_stage_alone_enlarges_given_images(cascade):
    whole = cascade.sample(text_embeds(2), [1, 2], samplers=SAMPLERS)
    alone = Cascade(cascade.stages[1:]).sample(text_embeds(2), [1, 2], start=whole["base16"], samplers=SAMPLERS)
    assert np.array_equal(alone["sr64"], whole["sr64"])


def test_the_augmentation_level_reaches_the_image_and_the_net():
    seen = []

    class Spy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, log_snr, *, text_embeds, text_mask, low_res, aug_log_snr):
            seen.append((low_res, aug_log_snr))
            return x * self.weight

    grey = torch.full((2, 3, 16, 16), 128, dtype=torch.uint8)
    spy: Any = Spy()
    text = pad_text_embeds(text_embeds(2), width=WIDTH)
    for level in (0.0, 0.4):
        quick = QUICK.model_copy(update={"aug_level": level, "guidance": 1.0})
        generate(SR, spy, text=text, seeds=[1, 2], low_res=grey, sampler=quick)
    clean, noisy = seen[0], seen[-1]
    assert clean[0].std() == 0 and noisy[0].std() > 0.2
    assert not torch.equal(noisy[0][0], noisy[0][1])
    assert torch.equal(noisy[1], aug_log_snr(torch.tensor([0.4, 0.4]), schedule="cosine"))


def test_guidance_one_asks_for_the_conditional_image_only_and_zero_ignores_the_text():
    net, text = awake(BASE), pad_text_embeds(text_embeds(2), width=WIDTH)
    z, level = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor(0.5)

    def x_hat(guidance, text):
        config = SamplerConfig(guidance=guidance, threshold="none")
        with torch.no_grad():
            return denoiser(BASE, net, config, text=text)(z, level)

    other = pad_text_embeds(text_embeds(2, seed=9), width=WIDTH)
    torch.testing.assert_close(x_hat(0.0, text), x_hat(0.0, other))
    plain, unconditional = x_hat(1.0, text), x_hat(0.0, text)
    assert not torch.allclose(plain, unconditional, atol=1e-4)
    torch.testing.assert_close(x_hat(3.0, text), unconditional + 3 * (plain - unconditional), atol=1e-5, rtol=1e-5)


def test_captions_are_encoded_by_the_encoder_of_training_which_is_loaded_once(tmp_path, monkeypatch):
    config = TextConfig(encoder=str(small_t5(tmp_path / "t5")))
    for stage in (BASE, SR):
        stage = stage.model_copy(update={"text_width": 32})
        save(tmp_path / stage.name, 1, stage, {"ema_ema": awake(stage)}, text=config)
    loaded = []

    class Noted(TextEncoder):
        def __init__(self, *args):
            loaded.append(args)
            super().__init__(*args)

    monkeypatch.setattr(text_encoder, "TextEncoder", Noted)
    cascade = Cascade.load([tmp_path / "base16", tmp_path / "sr64"])
    images = cascade.sample(CAPTIONS[:2], [0, 0], samplers=SAMPLERS)
    assert images["base16"].shape == (2, 16, 16, 3) and not near(*images["base16"])
    again = cascade.sample(TextEncoder(config).encode(CAPTIONS[:2]), [0, 0], samplers=SAMPLERS)
    assert all(np.array_equal(images[name], again[name]) for name in images)
    cascade.sample(CAPTIONS[1:3], [0, 0], samplers=SAMPLERS)
    assert loaded == [(config, "cpu")]


def test_texts_are_cut_where_training_cut_them(tmp_path, cascade):
    long, short = text_embeds(4)[3:], [text_embeds(4)[3][:3]]
    assert len(long[0]) == 5
    whole = cascade.sample(long, [1], samplers=SAMPLERS)
    folder = save(tmp_path, 20, BASE, {"ema_ema": awake(BASE)})
    about = json.loads((folder / "stage.json").read_text())
    (folder / "stage.json").write_text(json.dumps(about | {"max_tokens": 3}))
    commit(folder, 20)
    cut = Cascade.load(tmp_path)
    drawn, expected = (cut.sample(texts, [1], samplers=SAMPLERS)["base16"] for texts in (long, short))
    assert np.array_equal(drawn, expected) and not near(drawn, whole["base16"])


def test_a_sampler_beyond_the_training_s_augmentation_is_refused_before_anything_is_drawn(cascade, monkeypatch):
    base, sr = cascade.stages
    cautious = replace(sr, config=sr.config.model_copy(update={"aug_level_max": 0.3}))
    samplers = {"base16": QUICK, "sr64": QUICK.model_copy(update={"aug_level": 0.4})}
    reason = r"sampler's aug_level 0.4 is above the aug_level_max 0.3 that sr64 .*lower"
    monkeypatch.setattr("cascade.generate.denoiser", lambda *args, **kwargs: pytest.fail("something is drawn"))
    with pytest.raises(UserError, match=reason):
        Cascade([base, cautious]).sample(text_embeds(1), [0], samplers=samplers)
    grey, text = torch.full((1, 3, 16, 16), 128, dtype=torch.uint8), pad_text_embeds(text_embeds(1), width=WIDTH)
    with pytest.raises(UserError, match=reason):
        generate(cautious.config, sr.net, text=text, seeds=[0], low_res=grey, sampler=samplers["sr64"])


def test_wrong_use_is_one_clear_line(cascade):
    base, sr = cascade.stages
    with pytest.raises(UserError, match="enlarges 16 px, but sr64 makes 64 px"):
        Cascade([sr, sr])
    with pytest.raises(UserError, match=r"give start pictures \(1, 16, 16, 3\) uint8, got none"):
        Cascade([sr]).sample(text_embeds(1), [0])
    with pytest.raises(UserError, match="starts from noise"):
        Cascade([base]).sample(text_embeds(1), [0], start=np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="captions or embeds, not both"):
        cascade.sample(["a corgi", *text_embeds(1)], [0, 1])
    with pytest.raises(ValueError, match="one seed per text: got 2 texts and 1 seeds"):
        cascade.sample(text_embeds(2), [0])


@pytest.mark.parametrize(
    ("texts", "how", "reason"),
    [
        ([], {}, "nothing to draw; give a caption"),
        (["a corgi", 5], {}, "a text is a caption, or its embeds as an array; got 5"),
        ([np.zeros((3, WIDTH), np.float32)], {}, r"embeds are \(tokens, width\) uint16.*got \(3, \d+\) float32"),
        ([np.zeros(WIDTH, np.uint16)], {}, r"embeds are \(tokens, width\) uint16"),
        (["a corgi"], {"batch": 0}, "batch 0: at least one"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(cascade, texts, how, reason):
    with pytest.raises(UserError, match=reason):
        cascade.sample(texts, **how)


def test_stages_that_make_no_cascade_are_one_clear_line(cascade, tmp_path):
    base, _ = cascade.stages
    with pytest.raises(UserError, match="base16 and base16 both draw from text alone; give one"):
        Cascade([base, base])
    with pytest.raises(UserError, match="a cascade of no stage"):
        Cascade.load([])
    with pytest.raises(UserError, match="precision 'fp16' is none of fp32, bf16"):
        Cascade.load([base.folder], precision="fp16")  # type: ignore[arg-type]
    assert Cascade.load(str(base.folder)).stages[0].config == base.config  # a folder alone is one stage
