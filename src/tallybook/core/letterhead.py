"""What an organisation prints at the head and the foot of its invoices: name, address, logo, a last line.

A logo is a PNG image in base64. It comes from outside and goes to a decoder that is not ours, so it is taken apart
here first: only what is needed to show it is kept, and all of it is checked, down to the length of its pixels.
"""

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Iterator

import msgspec

LETTERHEAD_LINES_MAX = 8  # a name, an address, a tax number; more would push the lines off the page
FOOTER_LINES_MAX = 4
LETTERHEAD_LINE_CHARACTERS_MAX = 100
LOGO_PIXELS_MAX = 1_000  # on either side; printed 60 mm wide that is more than paper shows

_DATA_URI = "data:image/png;base64,"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_BIT_DEPTHS = {0: (1, 2, 4, 8), 2: (8,), 3: (1, 2, 4, 8), 4: (8,), 6: (8,)}
_PALETTE = 3
_FILTERS = 5  # a row begins with one of 0 to 4
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_CHUNK_NAME = re.compile(rb"[A-Za-z]{4}")


class Letterhead(msgspec.Struct, frozen=True, kw_only=True):
    """Whose paper it is. `lines` are its name and what stands below it; `logo` is a PNG file, checked."""

    lines: tuple[str, ...]
    footer: tuple[str, ...] = ()
    logo: bytes | None = None


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a PNG says about its pixels."""

    width: int
    height: int
    bit_depth: int
    colour_type: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of pixels, with that of its filter."""
        return 1 + (self.width * _CHANNELS[self.colour_type] * self.bit_depth + 7) // 8


def letterhead_lines(text: str) -> tuple[str, ...]:
    """The lines of a letterhead, without blank ones. Raises `ValueError`."""
    return _lines(text, LETTERHEAD_LINES_MAX)


def footer_lines(text: str) -> tuple[str, ...]:
    """The lines of a footer, without blank ones. Raises `ValueError`."""
    return _lines(text, FOOTER_LINES_MAX)


def logo_png(text: str) -> bytes:
    """The PNG file that base64 text holds, with nothing in it but the image. Raises `ValueError`, saying why."""
    try:
        data = base64.b64decode(text.removeprefix(_DATA_URI), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG image")
    kept = _kept_chunks(data)
    header = _header(kept[b"IHDR"])
    _check_colours(header, kept)
    _check_pixels(header, kept[b"IDAT"])
    chunks = [_chunk(name, kept[name]) for name in _KEPT if name in kept]
    return b"".join((_SIGNATURE, *chunks, _chunk(b"IEND", b"")))


def _lines(text: str, maximum: int) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not 1 <= len(lines) <= maximum or any(len(line) > LETTERHEAD_LINE_CHARACTERS_MAX for line in lines):
        raise ValueError("too many lines, or too long ones")
    return lines


# ---- PNG -------------------------------------------------------------------------------------------------------


def _kept_chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks that make the image, the pixels' joined; what only says something about it is left out."""
    kept: dict[bytes, bytes] = {}
    previous = b""
    for name, content in _chunks(data):
        if name in _KEPT:
            if name in kept and not name == previous == b"IDAT":
                raise ValueError(f"a PNG with two chunks {name.decode()}")
            kept[name] = kept.get(name, b"") + content
        elif name[:1].isupper():
            raise ValueError(f"a PNG with a chunk {name.decode()}")
        previous = name
    if next(iter(kept), None) != b"IHDR" or b"IDAT" not in kept:
        raise ValueError("a PNG without an image")
    return kept


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents up to the end chunk, behind which nothing may follow."""
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if not _CHUNK_NAME.fullmatch(name) or checksum != zlib.crc32(name + content).to_bytes(4):
            raise ValueError("a damaged PNG")
        at += 12 + length
        if name == b"IEND":
            break
        yield name, content
    else:
        raise ValueError("a PNG that is cut off")
    if at != len(data):
        raise ValueError("a PNG with something behind it")


def _header(content: bytes) -> _Header:
    if len(content) != 13:
        raise ValueError("a damaged PNG")
    width, height, bit_depth, colour_type, compression, filtering, interlaced = struct.unpack(">IIBBBBB", content)
    if not (1 <= width <= LOGO_PIXELS_MAX and 1 <= height <= LOGO_PIXELS_MAX):
        raise ValueError(f"a PNG of {width} × {height} pixels")
    if bit_depth not in _BIT_DEPTHS.get(colour_type, ()):
        raise ValueError(f"a PNG with {bit_depth} bits a channel in colour type {colour_type}")
    if compression or filtering or interlaced:
        raise ValueError("an interlaced PNG")
    return _Header(width=width, height=height, bit_depth=bit_depth, colour_type=colour_type)


def _check_colours(header: _Header, kept: dict[bytes, bytes]) -> None:
    palette, transparent = kept.get(b"PLTE"), kept.get(b"tRNS")
    colours = 0 if palette is None else len(palette) // 3
    if header.colour_type == _PALETTE:
        if palette is None or len(palette) % 3 or not 1 <= colours <= 2**header.bit_depth:
            raise ValueError("a PNG without a sound palette")
    elif palette is not None:
        raise ValueError("a PNG with a palette it does not use")
    if transparent is not None:
        length_max = {0: 2, 2: 6, _PALETTE: colours}.get(header.colour_type, 0)
        if len(transparent) > length_max or (header.colour_type != _PALETTE and len(transparent) != length_max):
            raise ValueError("a PNG with a damaged transparency")


def _check_pixels(header: _Header, compressed: bytes) -> None:
    """Unpack no more than the header announces, so that a small file cannot become a huge one."""
    expected = header.row_bytes * header.height
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(compressed, expected + 1)
    except zlib.error:
        raise ValueError("a damaged PNG") from None
    if len(pixels) != expected or not unpacker.eof or unpacker.unused_data:
        raise ValueError("a PNG with more or fewer pixels than it says")
    if any(pixels[row] >= _FILTERS for row in range(0, expected, header.row_bytes)):
        raise ValueError("a damaged PNG")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + zlib.crc32(name + content).to_bytes(4)
