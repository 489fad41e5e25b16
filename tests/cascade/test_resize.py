"""One resize kernel for data and sampler."""

import pytest
import torch

from cascade.resize import enlarge, from_uint8, low_res_input, quantize, shrink, to_uint8


def pictures(batch, height, width):
    draw = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, height, width, generator=draw) * 2 - 1


def test_a_crop_made_small_equals_the_crop_of_the_small_picture():
    whole = pictures(1, 64, 64)
    assert torch.equal(shrink(whole[..., 16:48, 8:40], 8), shrink(whole, 16)[..., 4:12, 2:10])


def test_shrinking_is_the_mean_of_the_area_at_any_size():
    rows = torch.tensor([0.0, 3.0, 6.0]).expand(1, 3, 3, 3)
    torch.testing.assert_close(shrink(rows, 2)[0, 0, 0], torch.tensor([1.0, 5.0]))  # (0 + 3/2)/1.5, (3/2 + 6)/1.5
    whole = pictures(2, 50, 37)
    small = shrink(whole, 20, 11)
    torch.testing.assert_close(small.mean((2, 3)), whole.mean((2, 3)))
    torch.testing.assert_close(shrink(whole, 50, 37), whole)
    with pytest.raises(ValueError, match="cannot become 64 x 64"):
        shrink(whole, 64)


def test_enlarging_keeps_the_mean_colour_and_never_overshoots():
    small = pictures(2, 16, 16)
    large = enlarge(small, 64)
    assert large.abs().max() <= small.abs().max()
    torch.testing.assert_close(large.mean((2, 3)), small.mean((2, 3)), atol=0.02, rtol=0)


def test_eight_bits_come_back_as_they_went():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert torch.equal(to_uint8(torch.tensor([-3.0, 3.0])), torch.tensor([0, 255], dtype=torch.uint8))
    x = pictures(1, 8, 8)
    assert torch.equal(quantize(quantize(x)), quantize(x))


def test_training_sees_what_the_sampler_will_give():
    whole = quantize(pictures(2, 64, 64))
    made_before = to_uint8(shrink(whole, 16))  # what a perfect stage before would put out
    assert torch.equal(low_res_input(whole, low_res_px=16), enlarge(from_uint8(made_before), 64))
