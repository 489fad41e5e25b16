"""Made pictures and captions for the filter tests."""

import numpy as np
from PIL import Image, ImageDraw

from filters.base import Batch, Scorer

HARMLESS = [
    "a drawing of a red apple, food",
    "a white cat on a black sofa",
    "women's leather jacket with laces",
    "wedding photo of a gay couple in the park",
    "white flower in a glass of water",
    "a girl and a man feed the birds",
    "a drawing of an angry face with horns",
    "rice cracker, yo-yo and a kid's racing car",
]
HATEFUL = [  # mild on purpose
    "I hate these stupid people, they are trash",
    "I hate those disgusting people and their stupid faces",
    "stupid ugly trash people",
    "hate those dirty foreigners, send them back",
    "shut up you dumb ugly trash",
    "all of them are ugly idiots and should go away",
]


def picture(seed: int, *, width: int = 96, height: int = 96) -> np.ndarray:
    """A drawing of some coloured shapes, (height, width, 3) uint8; equal seeds draw the same at any size."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        (x0, x1), (y0, y1) = np.sort(rng.random((2, 2)), axis=1)
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        draw.ellipse((x0 * width, y0 * height, x1 * width, y1 * height), fill=colour)
    return np.asarray(image)


def batch(count: int) -> Batch:
    """Pairs of many sizes and caption lengths."""
    images = [picture(seed, width=40 + 37 * seed % 200, height=50 + 53 * seed % 160) for seed in range(count)]
    captions = [f"{(HARMLESS + HATEFUL)[i % 14]} number {i}" + " and more of it" * (i % 5) for i in range(count)]
    sizes = {"width": [image.shape[1] for image in images], "height": [image.shape[0] for image in images]}
    columns = {f"{of}_{side}": values for of in ("original", "stored") for side, values in sizes.items()}
    return Batch(images=images, captions=captions, columns=columns)


def one_by_one(scorer: Scorer, pairs: Batch) -> dict[str, list[object]]:
    """What the scorer says of each pair alone."""
    found: dict[str, list[object]] = {name: [] for name in scorer.columns}
    for i in range(len(pairs.captions)):
        columns = {name: values[i : i + 1] for name, values in pairs.columns.items()}
        alone = Batch(images=pairs.images[i : i + 1], captions=pairs.captions[i : i + 1], columns=columns)
        for name, values in scorer(alone).items():
            found[name].extend(values)
    return found
