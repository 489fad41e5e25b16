"""The group-of-nearest figure on features whose answer is known."""

import numpy as np
import pytest

from evaluation import groups

NAMES = ["animals", "flags", "food"]


def clusters(per_group: int, *, spread: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Features around one direction per group."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((len(NAMES), 40))
    features = np.concatenate([c + spread * rng.standard_normal((per_group, 40)) for c in centres])
    return features, [name for name in NAMES for _ in range(per_group)]


def test_clear_groups_are_all_found_and_noise_is_at_chance():
    real, real_groups = clusters(50, spread=0.2)
    own = np.arange(150)
    near, _ = clusters(50, spread=0.2, seed=1)
    figure = groups.group_of_nearest(near, generated_groups=real_groups, own=own, real=real, real_groups=real_groups)
    assert figure.share == 1 and figure.by_group == dict.fromkeys(NAMES, 1.0)
    noise = np.random.default_rng(2).standard_normal((150, 40))
    figure = groups.group_of_nearest(noise, generated_groups=real_groups, own=own, real=real, real_groups=real_groups)
    assert 0.2 < figure.share < 0.47


def test_the_own_image_is_left_out():
    """Each image is a copy of its own real one, the only one of its group: with it left out, none is right."""
    real = np.eye(3)
    figure = groups.group_of_nearest(
        real.copy(), generated_groups=NAMES, own=np.arange(3), real=real, real_groups=NAMES
    )
    assert figure.share == 0
    free = groups.group_of_nearest(
        real.copy(), generated_groups=NAMES, own=np.full(3, -1), real=real, real_groups=NAMES
    )
    assert free.share == 1 and free.nearest.tolist() == [0, 1, 2]


def test_length_of_a_feature_does_not_matter():
    real, _ = clusters(10, spread=0.5)
    near, _ = clusters(10, spread=0.5, seed=3)
    scaled = near * np.random.default_rng(4).uniform(0.1, 9, (30, 1))
    out = np.arange(30)
    np.testing.assert_array_equal(
        groups.nearest_rows(near, real=real, leave_out=out), groups.nearest_rows(scaled, real=real, leave_out=out)
    )


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="needs a group"):
        groups.group_of_nearest(
            np.zeros((2, 4)), generated_groups=["food"], own=np.zeros(2, int), real=np.zeros((1, 4)), real_groups=["x"]
        )
