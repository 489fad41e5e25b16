"""Crops of the low-res input are those of the whole enlarged image, bit for bit."""

import pytest
import torch

from cascade.resize import from_uint8
from training.data.crops import Corner, full_crops, low_res_crops, with_low_res

from .loading import whole_low_res


@pytest.mark.parametrize(
    ("image_px", "low_px", "px"), [(32, 8, 16), (32, 16, 8), (64, 16, 16), (24, 8, 12), (16, 4, 16)]
)
def test_crops_equal_the_whole_at_every_corner(image_px, low_px, px):
    image = with_low_res(torch.randint(256, (3, image_px, image_px), dtype=torch.uint8), low_res_px=low_px)
    assert image.low is not None
    whole = whole_low_res(from_uint8(image.full)[None], low_res_px=low_px)[0]
    corners = [Corner(top, left) for top in range(image_px - px + 1) for left in range(image_px - px + 1)]
    low = low_res_crops([image.low] * len(corners), corners, px=px, image_px=image_px)
    full = full_crops([image] * len(corners), corners, px=px)
    for number, (top, left) in enumerate(corners):
        torch.testing.assert_close(low[number], whole[:, top : top + px, left : left + px], rtol=0, atol=1e-6)
        assert torch.equal(full[number], from_uint8(image.full)[:, top : top + px, left : left + px])


def test_a_base_stage_has_no_low_res_image():
    assert with_low_res(torch.zeros(3, 8, 8, dtype=torch.uint8), low_res_px=None).low is None
