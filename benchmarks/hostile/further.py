"""S6: bombs in the formats that are taken on demand, each with its healthy twin."""

import struct
import zlib
from collections.abc import Iterator
from functools import partial

from .case import OK, Case, answer, drawing, encoded, picture

CATEGORY = "S6 bombs in further formats"
FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")
TOO_MANY, CORRUPT, BAD_FORMAT = ("too_many_pixels",), ("corrupt",), ("bad_format",)
LIMIT = ("decode_limit",)
SIDE = 30_000
ROWS = zlib.compress(bytes(30_000_000), 9)  # of a TIFF, as few bytes


def tiff(width: int, height: int, *, packed: bytes = ROWS, next_directory: int = 0) -> bytes:
    """Return a TIFF of one strip of grey, packed by deflate (TIFF 6.0, section 2)."""
    fields = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 200, 277: 1, 278: height, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", next_directory)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + packed


def bmp(width: int, height: int, *, compression: int = 0, pixels: bytes = b"") -> bytes:
    """Return a BMP of 8 bits a pixel with Windows' header."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(pixels), 0, 0, 256, 0)
    offset = 14 + len(header) + 1024
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + bytes(1024) + pixels


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """Return a GIF whose frame has another size than its screen, and few pixels (GIF 89a, 18 and 20)."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00;"


def avif_of(width: int, height: int) -> bytes:
    """Return an AVIF that declares another size than its picture has (ISO/IEC 23008-12, 6.5.3)."""
    data = bytearray(picture(50, format="AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def files() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Return name -> (file, what is right)."""
    moving = partial(encoded, drawing(51, 20, 20), save_all=True)
    frames = [drawing(number, 20, 20) for number in range(200)]
    return {
        "gif": (picture(50, format="GIF"), OK),
        "gif of 200 frames": (moving("GIF", append_images=frames), OK),
        "gif of 65,535 x 65,535": (gif((65_535, 65_535), (10, 10)), TOO_MANY),
        "gif whose frame is larger than its screen": (gif((10, 10), (65_535, 65_535)), (*TOO_MANY, *CORRUPT, *LIMIT)),
        "gif of no width": (gif((0, 10), (0, 10)), CORRUPT),
        "gif cut short": (picture(50, format="GIF")[:2000], CORRUPT),
        "bmp": (picture(50, format="BMP"), OK),
        "bmp of 30,000 x 30,000": (bmp(SIDE, SIDE), TOO_MANY),
        "bmp of 2^31 x 2^31": (bmp(2**31 - 1, -(2**31)), TOO_MANY),
        "bmp of 30,000 x 30,000 in runs": (bmp(SIDE, SIDE, compression=1, pixels=b"\xff\0" * 1000), TOO_MANY),
        "bmp of 8,000 x 8,000 in few runs": (
            bmp(8000, 8000, compression=1, pixels=b"\xff\0" * 1000),
            (*CORRUPT, *LIMIT),
        ),
        "bmp cut short": (picture(50, format="BMP")[:5000], CORRUPT),
        "tiff": (picture(50, format="TIFF"), OK),
        "tiff of 30,000 x 30,000": (tiff(SIDE, SIDE), TOO_MANY),
        "tiff of 2^32 x 2^32": (tiff(2**32 - 1, 2**32 - 1), (*TOO_MANY, *CORRUPT)),
        "tiff of 8,000 x 8,000 in few bytes": (tiff(8000, 8000), (*CORRUPT, *LIMIT)),
        "tiff whose directory follows itself": (tiff(100, 100, next_directory=8), (*OK, *CORRUPT)),
        "tiff whose directory is far away": (b"II*\0" + struct.pack("<I", 2**32 - 10) + bytes(100), CORRUPT),
        "tiff of 65,535 fields": (b"II*\0" + struct.pack("<IH", 8, 65_535) + bytes(1000), CORRUPT),
        "avif": (picture(50, format="AVIF"), OK),
        "avif of 30,000 x 30,000": (avif_of(SIDE, SIDE), TOO_MANY),
        "avif of 2^32 x 2^32": (avif_of(2**32 - 1, 2**32 - 1), TOO_MANY),
        "avif of 5,000 x 5,000 that is smaller": (avif_of(5000, 5000), (*OK, *CORRUPT, *LIMIT)),  # decoders enlarge it
        "avif of 5 x 5 that is larger": (avif_of(5, 5), (*OK, *CORRUPT)),
        "avif that moves": (moving("AVIF", append_images=frames[:3]), BAD_FORMAT),
        "avif cut short": (picture(50, format="AVIF")[:-200], CORRUPT),
        "heic": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(200), BAD_FORMAT),
    }


def cases() -> Iterator[Case]:
    """Yield all cases of further formats."""
    for number, (name, (data, expected)) in enumerate(files().items()):
        where = f"further{number}.test/x.jpg"
        yield Case(name, CATEGORY, f"http://{where}", expected, {where: answer(data)})
