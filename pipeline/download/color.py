"""Embedded colour profiles (ICC.1): pixels of any colour space to sRGB, which all that reads them takes them for."""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # by a profile's colour space
STEPS = 5  # of each channel, in the colours that tell whether a profile is sRGB under some name
SAME = 3  # of 255: makers round the same curves differently
KEPT = 16  # transforms in memory: a few profiles make up nearly all of the web's


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an RGB or CMYK image as sRGB; a profile that is broken or for other channels is ignored."""
    transform = _transform(profile, of_cmyk=image.mode == "CMYK") if profile else None
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return transform.apply(image.convert(transform.input_mode))


def is_as_srgb(profile: bytes | None) -> bool:
    """Say whether RGB or grey pixels stay as they are: no profile, one that is sRGB, or one that is ignored."""
    return not profile or _transform(profile, of_cmyk=False) is None


@lru_cache(KEPT)
def _transform(profile: bytes, *, of_cmyk: bool) -> ImageCms.ImageCmsTransform | None:
    """Return the way to sRGB with the perceptual intent, None where there is none or nothing to do."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = MODES.get(source.profile.xcolor_space)
        if mode is None or (mode == "CMYK") != of_cmyk:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    return None if not of_cmyk and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    steps = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(STEPS, -1, 3)
    before = Image.fromarray(cube).convert(transform.input_mode)
    after = transform.apply(before)
    change = np.asarray(after, np.int16) - np.asarray(before.convert("RGB"), np.int16)
    return int(np.abs(change).max()) <= SAME
