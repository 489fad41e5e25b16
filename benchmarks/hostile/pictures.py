"""S6 and S12: files that cost a decoder dear or are no picture that is wanted, and metadata that must not be stored."""

import struct
import zlib
from collections.abc import Iterator

from .case import OK, Case, answer, drawing, encoded, picture

SIDE = 30_000
TOO_MANY, CORRUPT, BAD_FORMAT, NO_PICTURE = ("too_many_pixels",), ("corrupt",), ("bad_format",), ("not_a_picture",)
LIMIT = ("decode_limit",)
CANARY = b"canary-7f3a"
LATIN = CANARY.decode()


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, before: bytes = b"", pixels: bytes = b"") -> bytes:
    """Return a PNG that declares so many pixels. before: chunks before them; pixels: packed, few by default."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = pixels or zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(marker: int, data: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_of(width: int, height: int) -> bytes:
    """Return a JPEG whose frame declares another size than its pixels have."""
    data = bytearray(picture(20))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan comes so many times more."""
    data = encoded(drawing(21, 64, 48), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width: int, height: int, *, flags: int = 0) -> bytes:
    """Return the chunk of an extended WebP that declares its canvas."""
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def bombs() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Return name -> (file, what is right): more pixels, scans or memory than a picture has."""
    small = png(40, 40)
    large = encoded(drawing(22, 900, 900), "PNG")
    text = zlib.compress(b"a" * 50_000_000, 9)
    lossless = b"\x2f" + (16382 | 16382 << 14).to_bytes(4, "little") + bytes(20)
    return {
        "png of 30,000 x 30,000": (png(SIDE, SIDE), TOO_MANY),
        "png of 30,000 x 30,000 grey bits": (png(SIDE, SIDE, depth=1, colour=0), TOO_MANY),
        "png of 2^31 x 2^31": (png(0x7FFFFFFF, 0x7FFFFFFF), TOO_MANY),
        "png of 2^32 x 2^32": (png(0xFFFFFFFF, 0xFFFFFFFF), CORRUPT),
        "png of no height": (png(100, 0), CORRUPT),
        "png of 64 million x 1": (png(64_000_000, 1), ("bad_aspect",)),
        "png with a second, larger IHDR": (small[:33] + large[8:], CORRUPT),
        "png with a second, smaller IHDR": (large[:33] + small[8:], CORRUPT),
        "png whose IHDR comes second": (small[:8] + chunk(b"tEXt", b"a\0b") + small[8:], BAD_FORMAT),
        "png of too few pixels": (png(2000, 2000), CORRUPT),
        "png of a hundred times its pixels": (
            png(100, 100, pixels=zlib.compress(bytes(100 * 301) + bytes(50_000_000), 9)),
            OK + CORRUPT,
        ),
        "png with a text of 50 MB": (png(40, 40, before=chunk(b"zTXt", b"a\0\0" + text)), CORRUPT + LIMIT),
        "png with a profile of 50 MB": (png(40, 40, before=chunk(b"iCCP", b"a\0\0" + text)), OK + CORRUPT + LIMIT),
        "png with 100,000 texts": (png(40, 40, before=chunk(b"tEXt", b"a\0b") * 100_000), OK + CORRUPT + LIMIT),
        "png with a chunk of 2^31": (small[:33] + struct.pack(">I", 0x7FFFFFFF) + b"tEXt" + small[33:], CORRUPT),
        "apng of 1,000 frames": (png(40, 40, before=chunk(b"acTL", struct.pack(">II", 1000, 0))), OK + CORRUPT),
        "jpeg of 65,500 x 65,500": (jpeg_of(65_500, 65_500), TOO_MANY),
        "jpeg of 65,535 x 900": (jpeg_of(65_535, 900), OK + CORRUPT),
        "jpeg of 8,000 x 8,000": (jpeg_of(8_000, 8_000), CORRUPT),
        "jpeg of no width": (jpeg_of(0, 100), CORRUPT),
        "jpeg of 600 scans": (many_scans(600), ("too_many_scans",)),
        "jpeg of 2,600 scans": (many_scans(2600), ("too_many_scans", "too_many_bytes")),
        "jpeg with a profile of 1 MB": (
            picture(23)[:2]
            + b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 16]) + bytes(60_000)) for n in range(1, 17))
            + picture(23)[2:],
            OK,
        ),
        "jpeg with 1 MB of comments": (picture(23)[:2] + segment(0xFE, b"x" * 60_000) * 17 + picture(23)[2:], OK),
        "jpeg with a megabyte of fill": (picture(23)[:2] + b"\xff" * 1_000_000 + picture(23)[2:], OK + CORRUPT),
        "jpeg without a frame": (picture(23)[: picture(23).index(b"\xff\xc0")] + b"\xff\xd9", CORRUPT),
        "webp canvas of 16 million x 16 million": (riff((b"VP8X", webp_canvas(1 << 24, 1 << 24))), TOO_MANY),
        "webp canvas of 20,000 x 20,000": (
            riff((b"VP8X", webp_canvas(20_000, 20_000)), (b"VP8 ", picture(24, format="WEBP")[20:])),
            TOO_MANY,
        ),
        "webp without loss of 16,383 x 16,383": (riff((b"VP8L", lossless)), TOO_MANY),
        "webp whose canvas is smaller than its picture": (
            riff((b"VP8X", webp_canvas(10, 10)), (b"VP8 ", picture(24, format="WEBP")[20:])),
            CORRUPT,
        ),
        "webp that moves": (
            encoded(drawing(25), "WEBP", save_all=True, append_images=[drawing(26)]),
            BAD_FORMAT,
        ),
    }


def disguised() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Return name -> (file served as image/jpeg, what is right)."""
    fits = (
        b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(80) + b"END".ljust(2720)
    )
    return {
        "fits": (fits + bytes(2880), BAD_FORMAT),
        "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n", BAD_FORMAT),
        "pdf": (b"%PDF-1.7\n1 0 obj\n", BAD_FORMAT),
        "gif": (picture(27, format="GIF"), BAD_FORMAT),
        "gif of 65,535 x 65,535": (b"GIF89a\xff\xff\xff\xff\0\0\0;", BAD_FORMAT + TOO_MANY),
        "gif of 300 frames": (
            encoded(drawing(27, 20, 20), "GIF", save_all=True, append_images=[drawing(n, 20, 20) for n in range(300)]),
            BAD_FORMAT,
        ),
        "bmp": (picture(27, format="BMP"), BAD_FORMAT),
        "tiff": (picture(27, format="TIFF"), BAD_FORMAT),
        "ico": (encoded(drawing(27, 32, 32), "ICO"), BAD_FORMAT),
        "photoshop": (b"8BPS\0\1" + bytes(200), BAD_FORMAT),
        "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200), BAD_FORMAT),
        "jpeg xl": (b"\xff\x0a" + bytes(200), BAD_FORMAT),
        "avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(200), BAD_FORMAT),
        "heic": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(200), BAD_FORMAT),
        "a video": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(200), BAD_FORMAT),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", BAD_FORMAT),
        "svg with entities": (
            b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>",
            BAD_FORMAT + NO_PICTURE,
        ),
        "html": (b"<!DOCTYPE html><title>gone</title>", NO_PICTURE),
        "html and a jpeg behind it": (b"<html>" + picture(27), NO_PICTURE),
        "a mark of byte order, then html": (b"\xef\xbb\xbf\n <html>" + b" " * 2000, NO_PICTURE),
        "json": (b'{"error": "not found"}', NO_PICTURE),
        "nothing": (b"", NO_PICTURE),
        "a program": (b"\x7fELF" + bytes(500), NO_PICTURE),
        "an archive": (b"PK\x03\x04" + bytes(500), NO_PICTURE),
        "a pickle": (b"\x80\x04cos\nsystem\n", NO_PICTURE),
        "half a jpeg": (picture(27)[: len(picture(27)) // 2], CORRUPT),
        "a jpeg of 30 bytes": (picture(27)[:30], CORRUPT),
        "half a png": (picture(27, format="PNG")[:5000], CORRUPT),
        "half a webp": (picture(27, format="WEBP")[:1000], CORRUPT),
        "a jpeg with an archive behind it": (picture(27) + b"PK\x03\x04" + CANARY * 100, OK),
    }


def marked() -> dict[str, tuple[bytes, tuple[int, int]]]:
    """Return name -> (file with words in its metadata, width and height that are stored)."""
    from PIL import Image, PngImagePlugin

    exif = Image.Exif()
    exif[0x010F] = exif[0x0110] = exif[0x8298] = exif[0x013B] = LATIN  # maker, model, copyright, artist
    gps, camera = exif.get_ifd(0x8825), exif.get_ifd(0x8769)
    gps[0x1D] = gps[0x1B] = LATIN  # date, method
    camera[0xA431] = camera[0x9286] = LATIN  # serial number, user comment
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, LATIN
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", LATIN)
    text.add_itxt("XML:com.adobe.xmp", LATIN)
    small, exact, usual = drawing(30, 200, 150), drawing(30, 256, 192), (256, 192)
    plain, xmp = encoded(exact), b"http://ns.adobe.com/xap/1.0/\0" + CANARY
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(CANARY)) + CANARY + b"\0"
    thumbnail = b"Exif\0\0II*\0\x08\0\0\0\0\0" + b"\xff\xd8" + CANARY + b"\xff\xd9"
    jfxx = b"JFXX\0\x10\xff\xd8" + CANARY + b"\xff\xd9"
    return {
        "exif with a place and a serial number": (encoded(drawing(30, 512, 384), exif=exif), usual),
        "exif in a small jpeg": (encoded(small, exif=exif), (200, 150)),
        "exif in a jpeg of the stored size": (encoded(exact, exif=exif), usual),
        "exif and a turn": (encoded(small, exif=turned), (150, 200)),
        "exif in a png": (encoded(small, "PNG", exif=exif), (200, 150)),
        "exif in a webp": (encoded(small, "WEBP", exif=exif.tobytes()), (200, 150)),
        "text in a png": (encoded(small, "PNG", pnginfo=text), (200, 150)),
        "xmp": (plain[:2] + segment(0xE1, xmp) + plain[2:], usual),
        "xmp in a webp": (encoded(small, "WEBP", xmp=CANARY), (200, 150)),
        "iptc": (plain[:2] + segment(0xED, iptc) + plain[2:], usual),
        "a comment": (plain[:2] + segment(0xFE, CANARY) + plain[2:], usual),
        "a comment behind the pixels": (plain[:-2] + segment(0xFE, CANARY) + plain[-2:], usual),
        "bytes behind the end": (plain + CANARY, usual),
        "a thumbnail": (plain[:2] + segment(0xE1, thumbnail) + plain[2:], usual),
        "a thumbnail in JFXX": (plain[:20] + segment(0xE0, jfxx) + plain[20:], usual),
        "a segment of nobody's": (plain[:2] + segment(0xEB, CANARY) + plain[2:], usual),
        "a second picture behind the first": (plain + plain[:2] + segment(0xFE, CANARY) + plain[2:], usual),
    }


def cases() -> Iterator[Case]:
    """Yield all cases of S6 and S12."""
    files = [(name, "S6 bombs", *case) for name, case in bombs().items()]
    files += [(name, "S6 disguises", *case) for name, case in disguised().items()]
    for number, (name, category, data, expected) in enumerate(files):
        where = f"file{number}.test/x.jpg"
        yield Case(name, category, f"http://{where}", expected, {where: answer(data)}, absent=(CANARY,))
    for number, (name, (data, size)) in enumerate(marked().items()):
        where = f"marked{number}.test/x.jpg"
        assert CANARY in data, name
        yield Case(name, "S12 metadata", f"http://{where}", OK, {where: answer(data)}, absent=(CANARY,), size=size)
