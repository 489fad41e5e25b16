"""The paper's parameter counts, on the meta device.

recipe, sec. 2: ADM at 512 channels 2105 M ("2B"); Efficient U-Net without attention 441 M, of it 410 M in res blocks;
with attention after each of the 16 bottom res blocks 642 M ("600M").
"""

from pathlib import Path

import pytest
import torch
import yaml

from cascade.adm import AdmConfig
from cascade.diffusion import DiffusionConfig
from cascade.efficient import EfficientConfig
from cascade.explain import explain, parameters_by_part
from cascade.stage import StageConfig, build
from configs import resolve

T5_XXL = 4096
CONFIGS = Path(__file__).parents[2] / "configs" / "train"


def counted(model, **sizes):
    with torch.device("meta"):
        parts = parameters_by_part(build(StageConfig(name="s", text_width=T5_XXL, model=model, **sizes)))
    return sum(parts.values()), parts


def test_the_base_model_is_imagen_s_2b():
    total, _ = counted(AdmConfig(), image_px=64)
    assert total == pytest.approx(2.10e9, rel=0.02)


def test_sr256_is_600m_with_attention_after_every_bottom_res_block():
    total, _ = counted(EfficientConfig(), image_px=256, low_res_px=64)
    assert total == pytest.approx(642e6, rel=0.03)


def test_sr1024_is_the_listing_s_441m_and_its_text_attention():
    sizes = {"image_px": 1024, "low_res_px": 256, "crop_px": 256}
    bare, parts = counted(EfficientConfig(attention=("none",) * 4), **sizes)
    assert bare == pytest.approx(441e6, rel=0.02)
    assert parts["res blocks"] == pytest.approx(410e6, rel=0.001)
    # One text cross-attention in the deepest DBlock and one in its UBlock, each: queries and output 1024 <-> 2048,
    # keys and values from 1024 text channels to 2 x 2048. 16.8 M in all, so 451 M.
    with_text, parts = counted(EfficientConfig(attention=("none", "none", "none", "text"), attn_per="block"), **sizes)
    assert parts["attention"] == pytest.approx(2 * 4 * 1024 * 2048, rel=0.002)
    assert with_text == bare + parts["attention"]


@pytest.mark.parametrize(
    ("name", "parameters", "tolerance"), [("base64", 2.10e9, 0.02), ("sr256", 642e6, 0.03), ("sr1024", 450.8e6, 0.001)]
)
def test_the_config_files_hold_the_paper_s_stages(name, parameters, tolerance):
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    stage = resolve(StageConfig, values["stage"])
    with torch.device("meta"):
        total = sum(parameter.numel() for parameter in build(stage).parameters())
    assert total == pytest.approx(parameters, rel=tolerance)
    assert (stage.name, stage.diffusion.prediction, stage.diffusion.weighting) == (name, "eps", "eps")
    assert (stage.sampler.threshold, stage.sampler.percentile) == ("dynamic", 99.5)
    assert resolve(StageConfig, stage.model_dump(mode="json")) == stage


@pytest.mark.long
def test_explain_says_what_follows_from_a_config():
    stage = StageConfig(
        name="sr1024",
        image_px=1024,
        low_res_px=256,
        crop_px=256,
        text_width=T5_XXL,
        model=EfficientConfig(attention=("none", "none", "none", "text"), attn_per="block"),
        diffusion=DiffusionConfig(schedule="linear"),
    )
    figures, text = explain(stage)
    assert figures["feature_maps_px"] == [512, 256, 128, 64]
    assert figures["feature_maps_training_px"] == [128, 64, 32, 16]
    # Convolutions grow with the area; what is computed once per image does not.
    assert 15.5 < figures["forward_gflop_sampling"] / figures["forward_gflop_training"] <= 16
    assert figures["log_snr"] == (pytest.approx(-10.1, abs=0.1), pytest.approx(9.2, abs=0.1))
    assert "450.8 M" in text and "512, 256, 128, 64 px (128, 64, 32, 16 px in training)" in text
    assert explain(stage) == explain(stage)
