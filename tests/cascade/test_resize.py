"""One resize kernel for data and sampler."""

import numpy as np
import pytest
import simplejpeg
import torch

from cascade.resize import enlarge, fit, fit_scaled, from_uint8, shrink, to_uint8
from storage.tar import decode, decode_scaled


def images(batch, height, width):
    draw = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, height, width, generator=draw) * 2 - 1


def test_a_crop_made_small_equals_the_crop_of_the_small_image():
    whole = images(1, 64, 64)
    assert torch.equal(shrink(whole[..., 16:48, 8:40], 8), shrink(whole, 16)[..., 4:12, 2:10])


def test_shrinking_is_the_mean_of_the_area_at_any_size():
    rows = torch.tensor([0.0, 3.0, 6.0]).expand(1, 3, 3, 3)
    torch.testing.assert_close(shrink(rows, 2)[0, 0, 0], torch.tensor([1.0, 5.0]))  # (0 + 3/2)/1.5, (3/2 + 6)/1.5
    whole = images(2, 50, 37)
    small = shrink(whole, 20, 11)
    torch.testing.assert_close(small.mean((2, 3)), whole.mean((2, 3)))
    torch.testing.assert_close(shrink(whole, 50, 37), whole)
    with pytest.raises(ValueError, match="cannot become 64 x 64"):
        shrink(whole, 64)


def test_enlarging_keeps_the_mean_colour_and_never_overshoots():
    small = images(2, 16, 16)
    large = enlarge(small, 64)
    assert large.abs().max() <= small.abs().max()
    torch.testing.assert_close(large.mean((2, 3)), small.mean((2, 3)), atol=0.02, rtol=0)


def test_eight_bits_come_back_as_they_went():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert torch.equal(to_uint8(torch.tensor([-3.0, 3.0])), torch.tensor([0, 255], dtype=torch.uint8))
    once = from_uint8(to_uint8(images(1, 8, 8)))
    assert torch.equal(from_uint8(to_uint8(once)), once)


def test_the_middle_square_is_fitted_by_area_means():
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    square = torch.from_numpy(image[4:44]).permute(2, 0, 1)
    assert torch.equal(fit(image, px=40), square)
    assert torch.equal(fit(image, px=20), to_uint8(shrink(from_uint8(square)[None], 20))[0])


@pytest.mark.parametrize(("height", "width"), [(171, 256), (173, 256), (255, 201), (256, 179), (683, 1024), (64, 67)])
def test_an_image_decoded_at_a_scale_is_fitted_as_a_whole_one(height: int, width: int):
    waves = np.add.outer(np.sin(np.linspace(0, 20, height)), np.sin(np.linspace(0, 30, width)))
    data = simplejpeg.encode_jpeg(np.stack([128 + 60 * waves] * 3, -1).astype(np.uint8), quality=100)
    scaled = decode_scaled(data, at_least_px=64)
    whole = fit(decode(data), px=64)
    error = fit_scaled(scaled.pixels, px=64, scale=scaled.scale, height=height, width=width).float() - whole.float()
    assert error.square().mean().sqrt() < 1.5


def test_an_image_at_full_scale_is_fitted_bit_for_bit():
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    for px in (40, 20, 13):
        assert torch.equal(fit_scaled(image, px=px, scale=1.0, height=48, width=40), fit(image, px=px))
