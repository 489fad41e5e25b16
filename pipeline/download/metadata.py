"""What the metadata of an image say about its pixels: which way is up (EXIF), and in which colours they are."""

from io import BytesIO

from PIL import Image

ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def metadata_of_jpeg(data: bytes) -> tuple[Image.Transpose | None, bytes | None]:
    """Return the turn and the colour profile; damaged metadata is no reason to lose the image."""
    try:
        opened = Image.open(BytesIO(data), formats=["jpeg"])
    except Exception:
        return None, None
    return metadata_of(opened)


def metadata_of(image: Image.Image) -> tuple[Image.Transpose | None, bytes | None]:
    """Return the turn that puts the pixels upright, None where they are, and the colour profile, None for sRGB."""
    try:
        turn = TURNS.get(int(image.getexif().get(ORIENTATION, 1)))
    except Exception:  # damaged, again
        turn = None
    return turn, image.info.get("icc_profile")
