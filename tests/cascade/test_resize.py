"""One resize kernel for data and sampler."""

import numpy as np
import pytest
import torch

from cascade.resize import enlarge, fit, from_uint8, shrink, to_uint8


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
