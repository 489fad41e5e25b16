"""Colour drift of images whose drift is known."""

import numpy as np
import pytest

from evaluation import color_drift


def low_res(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, (6, 4, 4, 3), dtype=np.uint8)


def test_a_plain_enlargement_does_not_drift():
    small = low_res()
    assert color_drift.drift(small.repeat(4, 1).repeat(4, 2), low_res=small) == color_drift.Drift(0, 0, (0, 0, 0))


def test_a_tint_is_found_in_its_channel():
    small = low_res()
    large = small.repeat(4, 1).repeat(4, 2)
    large[..., 1] += 10
    moved = color_drift.drift(large, low_res=small)
    assert moved.bias == pytest.approx((0, 10 / 255, 0))
    assert moved.mean == pytest.approx(10 / 255 / 3) and moved.worst == pytest.approx(10 / 255)


def test_opposite_tints_do_not_cancel_in_the_mean():
    small = low_res()
    large = small.repeat(2, 1).repeat(2, 2)
    large[:3] += 20
    large[3:] -= 20
    moved = color_drift.drift(large, low_res=small)
    assert moved.bias == pytest.approx((0, 0, 0)) and moved.mean == pytest.approx(20 / 255)


def test_images_without_inputs_are_refused():
    with pytest.raises(ValueError, match="6 images, 5 inputs"):
        color_drift.drift(low_res(), low_res=low_res()[:5])
    with pytest.raises(ValueError, match="uint8"):
        color_drift.drift(low_res() / 255, low_res=low_res())
