"""A small base net learns 4 colours x 3 shapes from two tokens of random text; its images show what was asked."""

import pytest
import torch

from cascade.adm import AdmConfig
from cascade.conditioning import TextEmbeds, null_text_embeds
from cascade.diffusion import DiffusionConfig, add_noise, log_snr_at, loss_per_sample, stratified_times
from cascade.generate import generate
from cascade.resize import from_uint8
from cascade.samplers import SamplerConfig
from cascade.stage import StageConfig, build
from storage.processes import process_pool

WIDTH, BATCH, STEPS, PX = 16, 64, 600, 16
COLOURS = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]])
STAGE = StageConfig(
    name="shapes",
    image_px=PX,
    text_width=WIDTH,
    model=AdmConfig(channels=24, multipliers=(1, 2), res_blocks=1, attention_px=(8,), head_channels=24, text_dim=24),
    diffusion=DiffusionConfig(prediction="v", weighting="v"),
    sampler=SamplerConfig(method="ddim", steps=32, guidance=3.0),
)


def drawings(colour, shape, shift):
    """A square, a disc or a cross on grey, moved by up to two pixels: (n, 3, 16, 16) in [-1, 1]."""
    at = torch.arange(PX).float()
    y, x = at[None, :, None] - 8 - shift[:, 0, None, None], at[None, None, :] - 8 - shift[:, 1, None, None]
    square = (y.abs() < 4) & (x.abs() < 4)
    disc = y.square() + x.square() < 22
    cross = ((y.abs() < 1.6) & (x.abs() < 5)) | ((x.abs() < 1.6) & (y.abs() < 5))
    inside = torch.stack([square, disc, cross])[shape, torch.arange(len(shape))]
    return torch.where(inside[:, None], COLOURS[colour][:, :, None, None], torch.zeros(()))


def text_of(words, colour, shape):
    return TextEmbeds(torch.stack([words[colour], words[4 + shape]], 1), torch.ones(len(colour), 2, dtype=torch.bool))


def losses(net, draw_from, words, count, *, shuffled=False):
    """Loss of each of `count` fresh samples."""
    colour, shape = torch.randint(4, (count,), generator=draw_from), torch.randint(3, (count,), generator=draw_from)
    x = drawings(colour, shape, torch.randint(-2, 3, (count, 2), generator=draw_from))
    text = text_of(words, colour.roll(1), shape.roll(1)) if shuffled else text_of(words, colour, shape)
    dropped = torch.rand(count, generator=draw_from) < (0 if not net.training else 0.1)
    null = null_text_embeds(count, width=WIDTH, tokens=2)
    embeds = torch.where(dropped[:, None, None], null.embeds, text.embeds)
    mask = torch.where(dropped[:, None], null.mask, text.mask)
    uniform = torch.rand(count, generator=draw_from)
    log_snr = log_snr_at(STAGE.diffusion, stratified_times(uniform, place=torch.arange(count), count=count))
    noise = torch.randn(x.shape, generator=draw_from)
    output = net(add_noise(x, noise=noise, log_snr=log_snr), log_snr, text_embeds=embeds, text_mask=mask)
    return loss_per_sample(STAGE.diffusion, output, x=x, noise=noise, log_snr=log_snr)


def recognised(images):
    """Colour and shape whose template is nearest, over all shifts."""
    shifts = torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3))
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(3), torch.arange(len(shifts)))
    templates = drawings(grid[:, 0], grid[:, 1], shifts[grid[:, 2]])
    nearest = torch.cdist(images.flatten(1), templates.flatten(1)).argmin(1)
    return grid[nearest, 0], grid[nearest, 1]


def trained(sabotaged):
    """Share of right colours, of right shapes, and shuffled loss over right loss, of a net trained here and now."""
    torch.set_num_threads(1)  # so small a net gains little from a second one, which its twin takes
    torch.manual_seed(0)
    draw_from = torch.Generator().manual_seed(1)
    words, net = torch.randn(7, WIDTH, generator=draw_from), build(STAGE).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.9, 0.99))
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 50) * min(1, 4 * (1 - step / STEPS))
        optimizer.zero_grad()
        losses(net, draw_from, words, BATCH, shuffled=sabotaged).mean().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.eval()
    with torch.no_grad():
        right = losses(net, torch.Generator().manual_seed(2), words, 512).mean()
        wrong = losses(net, torch.Generator().manual_seed(2), words, 512, shuffled=True).mean()
    colour, shape = torch.arange(96) % 4, torch.arange(96) % 3
    images = from_uint8(generate(STAGE, net, text=text_of(words, colour, shape), seeds=range(96)))
    colour_drawn, shape_drawn = recognised(images)
    shares = (colour_drawn == colour).float().mean(), (shape_drawn == shape).float().mean()
    return [float(figure) for figure in (*shares, wrong / right)]


@pytest.fixture(scope="module")
def twins():
    """A net and its twin, which is told the captions of others, trained side by side."""
    with process_pool(2) as pool:
        return list(pool.map(trained, (False, True)))


@pytest.mark.long
def test_a_small_net_learns_what_its_text_says(twins):
    colours, shapes, ratio = twins[0]
    assert colours >= 0.9 and shapes >= 0.9 and ratio >= 3, (colours, shapes, ratio)


@pytest.mark.long
def test_its_twin_trained_on_the_captions_of_others_does_not(twins):
    colours, shapes, ratio = twins[1]
    assert colours < 0.5 and shapes < 0.6 and ratio < 1.02, (colours, shapes, ratio)
