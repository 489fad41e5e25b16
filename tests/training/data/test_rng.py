"""Randomness that belongs to a sample, not to what was drawn before it."""

import numpy as np
import torch

from training.data.rng import Purpose, below, normal, normals, permutation, uniforms


def generator(seed: int, position: int, purpose: Purpose) -> np.random.Generator:
    """Philox4x64-10 with key (seed, purpose) and counter (0, 0, position, 0), made anew."""
    counter = np.array([0, 0, position, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array([seed, int(purpose)], np.uint64), counter=counter))


def test_a_stream_is_that_of_philox_at_its_place_and_has_nothing_of_the_one_before():
    for position in (3, 2**40):
        uniforms(1, np.array([2]), Purpose.TIME)  # leaves half a word over
        fresh = generator(5, position, Purpose.NOISE).standard_normal(7, dtype=np.float32)
        assert (normal(5, position, Purpose.NOISE, shape=(7,)) == fresh).all()
        fresh_raw = generator(5, position, Purpose.WINDOW).bit_generator.random_raw(9)
        assert (permutation(5, position, Purpose.WINDOW, count=9) == np.argsort(fresh_raw)).all()


def test_seed_position_and_purpose_each_give_another_stream():
    keys = [(0, 0, Purpose.TIME), (1, 0, Purpose.TIME), (0, 1, Purpose.TIME), (0, 0, Purpose.DROP)]
    assert len({float(uniforms(seed, np.array([position]), purpose)) for seed, position, purpose in keys}) == 4
    far = np.array([2**62 + 1])
    assert uniforms(3, far, Purpose.TIME) == uniforms(3, far, Purpose.TIME)


def test_batches_are_made_of_single_samples():
    positions = np.array([10**12, 3, 7])
    together = normals(1, positions, Purpose.NOISE, shape=(3, 4, 4))
    apart = [normal(1, int(position), Purpose.NOISE, shape=(3, 4, 4)) for position in positions]
    assert together.dtype == torch.float32 and (together.numpy() == np.stack(apart)).all()
    flat = uniforms(1, positions, Purpose.TIME)
    assert flat.tolist() == [float(uniforms(1, np.array([position]), Purpose.TIME)) for position in positions]


def test_numbers_are_spread_as_they_should():
    positions = np.arange(4000)
    flat = uniforms(0, positions, Purpose.DROP)
    assert flat.min() >= 0 and flat.max() < 1 and abs(flat.mean() - 0.5) < 0.02
    round_ = normals(0, positions, Purpose.NOISE, shape=(2,))
    assert abs(round_.mean()) < 0.03 and abs(round_.std() - 1) < 0.03
    whole = np.array([below(0, int(position), Purpose.CROP, limits=(5, 3)) for position in positions])
    assert (np.bincount(whole[:, 0]) / 4000).round(1).tolist() == [0.2] * 5
    assert set(whole[:, 1].tolist()) == {0, 1, 2}


def test_permutations_hold_every_number_once():
    shuffled = permutation(0, 0, Purpose.WINDOW, count=1000)
    assert sorted(shuffled.tolist()) == list(range(1000)) and shuffled.tolist() != list(range(1000))
