"""The two U-Nets: what they start as, what they listen to, and that crops and whole images are the same to them."""

from typing import Any

import pytest
import torch

from cascade.adm import AdmConfig
from cascade.conditioning import null_text_embeds, pad_text_embeds
from cascade.efficient import EfficientConfig
from cascade.stage import StageConfig, build

from .nets import BASE, SR, WIDTH, awake, inputs, with_text

STAGES = pytest.mark.parametrize("stage", [BASE, SR], ids=["base", "sr"])


@STAGES
def test_a_new_net_says_zero_and_every_block_is_the_identity(stage):
    net = build(stage)
    assert not net(**inputs(stage, 2)).any()
    zeros = [name for name, weight in net.named_parameters() if name.endswith("weight") and not weight.any()]
    blocks = sum(name.endswith("conv_in.weight") for name in dict(net.named_parameters())) - 1
    assert sum("res" in name and "conv_out" in name for name in zeros) == blocks
    assert "conv_out.weight" in zeros


@STAGES
def test_every_input_and_every_weight_matters(stage):
    net, arguments = awake(stage), inputs(stage, 2)
    for parameter in net.parameters():
        parameter.requires_grad_()
    output = net(**arguments)
    output.square().mean().backward()
    assert output.shape == arguments["x"].shape and output.dtype == torch.float32
    assert [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()] == []
    for name in ("x", "log_snr", "text_embeds", "low_res", "aug_log_snr"):
        if name in arguments:
            assert not torch.allclose(net(**(arguments | {name: arguments[name].flip(-1) + 1})), output, atol=1e-5), (
                name
            )


@STAGES
def test_swapped_texts_change_the_output_and_masked_tokens_do_not(stage):
    net, arguments = awake(stage), inputs(stage, 2)
    arguments["text_mask"] = torch.tensor([[True, True, False, False, False]] * 2)
    output = net(**arguments)
    assert not torch.allclose(net(**(arguments | {"text_embeds": arguments["text_embeds"].flip(0)})), output, atol=1e-4)
    noisy = arguments["text_embeds"].clone()
    noisy[:, 2:] = 1e3
    torch.testing.assert_close(net(**(arguments | {"text_embeds": noisy})), output, atol=1e-5, rtol=0)


@STAGES
def test_a_row_does_not_depend_on_its_batch_and_null_text_is_finite(stage):
    net, arguments = awake(stage), inputs(stage, 3)
    both = net(**arguments)
    for row in range(3):
        alone = net(**{name: value[row : row + 1] for name, value in arguments.items()})
        torch.testing.assert_close(alone, both[row : row + 1], atol=1e-5, rtol=1e-5)
    null = null_text_embeds(3, width=WIDTH, tokens=5)
    assert net(**with_text(arguments, null)).isfinite().all()
    assert torch.equal(net(**with_text(arguments, null)), net(**with_text(arguments, null)))


def test_a_learned_null_text_takes_the_place_of_zeros_only():
    stage = BASE.model_copy(update={"model": BASE.model.model_copy(update={"null_text": "learned"})})
    net: Any = awake(stage)
    arguments = inputs(stage, 2)
    null = with_text(arguments, null_text_embeds(2, width=WIDTH, tokens=5))
    before, before_null = net(**arguments), net(**null)
    with torch.no_grad():
        net.conditioning.null.mul_(-1)
    assert torch.equal(net(**arguments), before)
    assert not torch.allclose(net(**null), before_null, atol=1e-4)


@STAGES
def test_bf16_autocast_stays_near_fp32_and_repeats_itself(stage):
    net, arguments = awake(stage), inputs(stage, 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low, again = net(**arguments), net(**arguments)
    exact = net(**arguments)
    assert torch.equal(low, again) and low.dtype == torch.float32
    assert (low - exact).std() < 0.05 * exact.std()


@STAGES
def test_weights_in_bf16_run_too(stage):
    output = awake(stage).bfloat16()(**inputs(stage, 2))
    assert output.dtype == torch.float32 and output.isfinite().all()


@pytest.mark.long
@STAGES
def test_recomputing_blocks_and_channels_last_change_nothing(stage):
    net: Any = awake(stage)
    arguments = inputs(stage, 2)
    for parameter in net.parameters():
        parameter.requires_grad_()

    def gradients():
        net.zero_grad()
        net(**arguments).square().mean().backward()
        return {name: weight.grad.clone() for name, weight in net.named_parameters()}

    plain = gradients()
    net.recompute = "block"
    for name, gradient in gradients().items():
        assert torch.equal(gradient, plain[name])
    net.recompute = "none"
    net.to(memory_format=torch.channels_last)
    for name, gradient in gradients().items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-4, rtol=1e-3)


def test_group_norm_counts_in_fp32_for_bf16_input():
    from cascade.layers import norm_layer

    x = (torch.randn(2, 32, 16, 16, generator=torch.Generator().manual_seed(0)) + 60).bfloat16()
    norm = norm_layer(32).bfloat16()
    exact = norm_layer(32)(x.float())
    assert (norm(x).float() - exact).abs().max() < 0.05


def test_the_inside_of_a_whole_image_equals_the_crop_run_alone():
    """Beyond the receptive field, and with norms that look at one position: what training on crops rests on."""
    stage = StageConfig(
        name="local",
        image_px=96,
        low_res_px=24,
        text_width=WIDTH,
        model=EfficientConfig(
            channels=(8, 16), res_blocks=(1, 1), strides=(1, 2), attention=("none", "text"), heads=2, text_dim=16,
            norm="position",
        ),
    )  # fmt: skip
    net, arguments = awake(stage), inputs(stage, 1, px=96)
    whole = net(**arguments)
    crop = {name: value[..., 16:80, 16:80] if name in ("x", "low_res") else value for name, value in arguments.items()}
    margin = 24  # px that the edge of a 64 px crop reaches into it
    inside = net(**crop)[..., margin:-margin, margin:-margin]
    torch.testing.assert_close(inside, whole[..., 16 + margin : 80 - margin, 16 + margin : 80 - margin])
    assert not torch.allclose(net(**crop)[..., :4, :4], whole[..., 16:20, 16:20], atol=1e-4)


def test_sr_runs_on_whole_images_after_training_on_crops():
    net = awake(SR)
    assert net(**inputs(SR, 1, px=SR.image_px)).shape == (1, 3, 64, 64)
    assert SR.train_px == 32


def test_texts_are_padded_and_a_missing_one_is_the_null_text():
    texts = [np_bits(3), None, np_bits(5)]
    text = pad_text_embeds(texts, width=4)
    assert text.mask.tolist() == [[True] * 3 + [False] * 2, [True] + [False] * 4, [True] * 5]
    assert text.embeds[0, :3].bfloat16().view(torch.int16).flatten().tolist() == list(range(12))
    assert not text.embeds[1].any() and not text.embeds[0, 3:].any()
    assert pad_text_embeds(texts, width=4, max_tokens=2).embeds.shape == (3, 2, 4)
    assert pad_text_embeds([None], width=4).embeds.shape == (1, 1, 4)


def np_bits(tokens):
    return torch.arange(tokens * 4, dtype=torch.int16).view(tokens, 4).numpy().view("uint16")


def test_a_base_net_takes_no_low_res_and_an_sr_net_needs_its_level():
    arguments = inputs(SR, 1)
    arguments.pop("aug_log_snr")
    with pytest.raises(ValueError, match="aug_log_snr"):
        awake(SR)(**arguments)
    with pytest.raises(ValueError, match="aug_log_snr"):
        awake(BASE)(**inputs(BASE, 1), aug_log_snr=torch.zeros(1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"crop_px": 30}, "multiples of 4"),
        ({"crop_px": 128}, "larger than image_px"),
        ({"low_res_px": 24}, "must divide"),
        ({"low_res_px": None}, "base stage"),
        ({"aug_level_max": 0.3, "sampler": {"aug_level": 0.31}}, "aug_level 0.31 is above the aug_level_max 0.3"),
        ({"model": {"kind": "efficient"}}, "without self-attention"),
        ({"model": {"kind": "efficient", "strides": [2, 2]}}, "one entry per level"),
        ({"model": {"kind": "efficient", "heads": 7}}, "heads 7 must divide"),
        ({"model": {"kind": "efficient", "dropout": 1.0}}, "less than 1"),
        ({"model": {"kind": "adm", "head_channels": 7}}, "head_channels 7 must divide"),
    ],
)
def test_impossible_stages_are_refused_with_a_reason(changes, says):
    with pytest.raises(ValueError, match=says):
        StageConfig.model_validate(SR.model_dump() | changes)


def test_adm_s_levels_follow_attention_px_and_the_grid_of_the_patch():
    model = AdmConfig(channels=16, multipliers=(1, 1), res_blocks=1, attention_px=(8,), head_channels=8, patch=2)
    net: Any = build(StageConfig(name="b", image_px=16, text_width=WIDTH, model=model))
    with_attention = [block.attention is not None for block in net.down]
    assert with_attention == [True, False, False]  # 8 px, then down, then 4 px
