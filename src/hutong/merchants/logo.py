"""Logos of merchants: what their content proves them to be."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from hutong.errors import InvalidParameter

LOGO_BYTES_MAX = 131_072
SIDE_MIN, SIDE_MAX = 16, 1_024

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG frames, which state the size; the three others in their range are tables."""


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture as browsers get it."""

    media_type: str
    content: bytes


def read_logo(content: bytes) -> Logo:
    """Return a logo with the media type that its content proves; the name of its file does not count.

    Errors:
        InvalidParameter: it is not a whole PNG, JPEG or WebP file, or it is too large in bytes or pixels. SVG is not
            taken: it can carry scripts.
    """
    if len(content) > LOGO_BYTES_MAX:
        raise InvalidParameter(f"`logo` must have at most {LOGO_BYTES_MAX:,} bytes", param="logo")
    for media_type, measure in _FORMATS.items():
        try:
            size = measure(content)
        except IndexError:
            size = None
        if size is not None:
            if not all(SIDE_MIN <= side <= SIDE_MAX for side in size):
                raise InvalidParameter(
                    f"each side of `logo` must have {SIDE_MIN} to {SIDE_MAX:,} pixels; it has {size[0]} by {size[1]}",
                    param="logo",
                )
            return Logo(media_type, content)
    raise InvalidParameter("`logo` must be a whole PNG, JPEG or WebP file", param="logo")


def _png(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG file whose chunks all have their checksum, up to its end."""
    if not content.startswith(_PNG) or content[12:16] != b"IHDR":
        return None
    place, kind = len(_PNG), b""
    while kind != b"IEND":
        end = place + 8 + _number(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if end + 4 > len(content) or zlib.crc32(content[place + 4 : end]) != _number(content[end : end + 4]):
            return None
        place = end + 4
    return None if place != len(content) else (_number(content[16:20]), _number(content[20:24]))


def _jpeg(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG file, from the frame before its first scan."""
    if not content.startswith(b"\xff\xd8\xff") or not content.endswith(b"\xff\xd9"):
        return None
    place = 2
    while content[place] == 0xFF and content[place + 1] != 0xDA:
        if content[place + 1] in _JPEG_FRAMES:
            height, width = content[place + 5 : place + 7], content[place + 7 : place + 9]
            return (_number(width), _number(height)) if len(width) == 2 else None
        place += 2 + max(2, _number(content[place + 2 : place + 4]))
    return None


def _webp(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP file: lossy, lossless or extended.

    Source:
        RFC 9649, sections 2.4 to 2.7 and 3.4; RFC 6386, section 9.1.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or _little(content[4:8]) + 8 != len(content):
        return None
    kind, data = content[12:16], content[20:30]
    if len(data) < 10:
        return None
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return _little(data[6:8]) & 0x3FFF, _little(data[8:10]) & 0x3FFF
    if kind == b"VP8L" and data[0] == 0x2F:
        bits = _little(data[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return _little(data[4:7]) + 1, _little(data[7:10]) + 1
    return None


def _number(part: bytes) -> int:
    return int.from_bytes(part, "big")


def _little(part: bytes) -> int:
    return int.from_bytes(part, "little")


_FORMATS: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
}
