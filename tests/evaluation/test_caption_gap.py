"""The caption gap of nets that use their text fully, not at all, or as far as we say."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cascade import diffusion
from evaluation import caption_gap

COUNT = 12


def random_images() -> Tensor:
    return torch.rand(COUNT, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Knows:
    """A net in x space whose answer is `trust` of the image written in the text, and the rest grey."""

    def __init__(self, trust: float) -> None:
        self.trust = trust
        self.seen: list[Tensor] = []

    def __call__(self, x: Tensor, log_snr: Tensor, *, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        self.seen.append(x)
        return self.trust * text_embeds.reshape(len(x), 3, 4, 4)


def measured(
    net: caption_gap.Net, *, prediction: diffusion.Prediction = "x", batch: int = 32
) -> caption_gap.CaptionGap:
    images = random_images()
    return caption_gap.caption_gap(
        net,
        images,
        text_embeds=images.reshape(COUNT, 1, -1),
        text_mask=torch.ones(COUNT, 1, dtype=torch.bool),
        families=[str(n // 2) for n in range(COUNT)],
        prediction=prediction,
        batch=batch,
    )


def test_a_net_that_knows_everything_from_its_text_has_a_full_gap():
    gap = measured(Knows(1.0))
    assert gap.log_snr == [-7, -5, -3, -1, 1, 3, 5]
    assert gap.gap == pytest.approx([1] * 7)


def test_a_net_that_does_not_look_has_none():
    assert measured(Knows(0.0)).gap == [0] * 7


def test_the_noise_is_the_same_every_time_and_for_both_captions():
    first, second = Knows(0.5), Knows(0.5)
    assert measured(first) == measured(second, batch=COUNT)
    right, wrong = first.seen[0], first.seen[1]
    torch.testing.assert_close(right, wrong)


def test_between_picks_buckets_by_their_middle():
    gap = caption_gap.CaptionGap([-3, -1, 1], [1, 1, 1], [2, 4, 1])
    assert gap.between(-3, -1) == [0.5, 0.75]


def test_heads_agree():
    """The same x-hat in v space gives the same figures."""

    def in_v(x: Tensor, log_snr: Tensor, *, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        x_hat = Knows(0.7)(x, log_snr, text_embeds=text_embeds, text_mask=text_mask)
        a, s = (diffusion.per_image(f(log_snr)) for f in (diffusion.alpha, diffusion.sigma))
        return (a * x - x_hat) / s

    as_v = measured(in_v, prediction="v")
    assert as_v.loss == pytest.approx(measured(Knows(0.7)).loss, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_nobody_gets_a_caption_of_the_own_family(seed):
    families = ["hand"] * 5 + ["flag"] * 3 + ["apple", "pear"]
    others = caption_gap.others_of(families, seed=seed)
    assert sorted(others) == list(range(10))
    assert all(families[other] != family for other, family in zip(others, families, strict=True))


def test_the_shuffle_is_fixed_by_its_seed():
    families = [str(n) for n in range(30)]
    np.testing.assert_array_equal(caption_gap.others_of(families), caption_gap.others_of(families))
    assert (caption_gap.others_of(families) != caption_gap.others_of(families, seed=1)).any()


def test_one_family_in_the_majority_is_refused():
    with pytest.raises(ValueError, match="largest family has 3 of 5"):
        caption_gap.others_of(["a", "a", "a", "b", "c"])


def test_lengths_must_agree():
    images = random_images()
    with pytest.raises(ValueError, match="12 images"):
        caption_gap.caption_gap(
            Knows(1), images, text_embeds=images, text_mask=torch.ones(3, 1), families=["a"] * 3, prediction="x"
        )
