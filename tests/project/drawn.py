"""A person's own pictures: coloured shapes, drawn here, with captions that repeat."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

SHAPES = ("disc", "square")


def picture(number: int) -> Image.Image:
    """One of many; no two are equal."""
    dice = random.Random(number)
    image = Image.new("RGB", (96 + number % 3 * 40, 96 + number % 4 * 30), (250, 250, 250))
    color, x, y = tuple(dice.randrange(256) for _ in range(3)), dice.randrange(40), dice.randrange(40)
    pen = ImageDraw.Draw(image)
    (pen.ellipse if number % 2 else pen.rectangle)((x, y, x + 40, y + 40), fill=color)
    return image


def caption(number: int) -> str:
    return f"a {SHAPES[number % 2]} of shade {number % 20}"


def draw_pictures(folder: Path, count: int) -> Path:
    """Pictures with a caption in a text file beside each."""
    folder.mkdir()
    for number in range(count):
        picture(number).save(folder / f"p{number:03d}.png")
        (folder / f"p{number:03d}.txt").write_text(caption(number))
    return folder
