"""Masks belong to a sample and a block, and are as even as those of a generator."""

from typing import Literal

import numpy as np
import pytest
import torch

from cascade.dropout import dropout, mixed
from cascade.layers import ResBlock
from cascade.stage import StageConfig, build

from .nets import BASE, SR, awake, inputs

SEEDS = torch.tensor([0, 1, 7, 2**31 - 1], dtype=torch.int32)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_is_dropped_and_the_rest_grows(share: float):
    h = torch.ones(4, 32, 16, 16)
    out = dropout(h, share, seeds=SEEDS, number=3)
    assert sorted(out.unique().tolist()) == [0, pytest.approx(1 / (1 - share))]
    for of_sample in out:  # 8,192 throws: five standard deviations
        assert abs((of_sample == 0).float().mean() - share) < 5 * (share * (1 - share) / of_sample.numel()) ** 0.5
    assert dropout(h.bfloat16(), share, seeds=SEEDS, number=3).dtype == torch.bfloat16


def test_a_sample_has_the_same_mask_in_any_batch():
    h = torch.randn(4, 8, 4, 4)
    whole = dropout(h, 0.4, seeds=SEEDS, number=1)
    parts = [dropout(h[n : n + 1], 0.4, seeds=SEEDS[n : n + 1], number=1) for n in range(4)]
    assert torch.equal(whole, torch.cat(parts))


def test_samples_blocks_and_places_are_not_alike():
    count = 2**14
    rows = torch.cat([mixed(SEEDS, number=number, count=count) for number in range(3)]).double()
    rows /= 2.0**31
    together = torch.corrcoef(torch.cat([rows[:, :-1], rows[:, 1:]]))  # with the place next to it, too
    off = together - torch.eye(len(together))
    assert off.abs().max() < 6 / count**0.5
    assert abs(rows.mean()) < 0.01 and abs(rows.var() - 1 / 3) < 0.01


def test_products_wrap_around_as_32_bit_numbers_do():
    bits_of_torch = mixed(SEEDS, number=5, count=1000).numpy().view(np.uint32)

    def mix(bits: np.ndarray) -> np.ndarray:
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            bits = (bits ^ bits >> np.uint32(shift)) * np.uint32(factor)
        return bits ^ bits >> np.uint32(16)

    seeds = mix(SEEDS.numpy().view(np.uint32) + np.uint32(6 * 0x3C6EF35))
    places = np.arange(1000, dtype=np.uint32) * np.uint32(0x9E3779B9)
    assert (bits_of_torch == mix(places + seeds[:, None])).all()


@pytest.mark.parametrize("plain", [BASE, SR], ids=["adm", "efficient"])
def test_a_net_drops_only_where_it_is_given_seeds(plain: StageConfig):
    stage = plain.model_copy(update={"model": plain.model.model_copy(update={"dropout": 0.3})})
    net, plain_net = awake(stage), awake(plain)
    numbers = [block.number for block in build(stage).modules() if isinstance(block, ResBlock)]
    assert numbers == list(range(len(numbers))) and len(numbers) > 3
    arguments = inputs(stage, 4)

    def output(of: torch.nn.Module, seeds: torch.Tensor | None) -> torch.Tensor:
        with torch.no_grad():
            return of(**arguments, dropout=seeds)

    assert [name for name, _ in net.named_parameters()] == [name for name, _ in plain_net.named_parameters()]
    assert torch.equal(output(net, None), output(plain_net, None))
    assert torch.equal(output(plain_net, SEEDS), output(plain_net, None))
    assert torch.equal(output(net, SEEDS), output(net, SEEDS))
    assert not torch.allclose(output(net, SEEDS), output(net, None), atol=1e-4)
    assert not torch.allclose(output(net, SEEDS), output(net, SEEDS.flip(0)))


@pytest.mark.parametrize("plain", [BASE, SR], ids=["adm", "efficient"])
def test_every_res_block_drops_and_a_block_that_is_recomputed_drops_the_same(plain: StageConfig):
    stage = plain.model_copy(update={"model": plain.model.model_copy(update={"dropout": 0.3})})
    net, arguments = awake(stage), inputs(stage, 4)
    blocks = [block for block in net.modules() if isinstance(block, ResBlock)]
    assert all(block.dropout == 0.3 for block in blocks)

    def outcome(recompute: Literal["none", "block"]) -> list[torch.Tensor]:
        net.zero_grad()
        net.recompute = recompute
        output = net(**arguments, dropout=SEEDS)
        output.square().mean().backward()
        return [output, *(weight.grad.clone() for weight in net.parameters() if weight.grad is not None)]

    kept, again = outcome("none"), outcome("block")
    assert len(kept) == len(again) and all(torch.equal(*pair) for pair in zip(kept, again, strict=True))
    for block in blocks:  # without its own dropout the net says something else: none is passed over
        block.dropout = 0.0
        assert not torch.equal(net(**arguments, dropout=SEEDS), kept[0])
        block.dropout = 0.3
