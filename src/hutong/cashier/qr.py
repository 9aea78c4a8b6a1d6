"""QR codes as pictures."""

from __future__ import annotations

from functools import lru_cache

import segno

PICTURES_KEPT = 2_048


@lru_cache(maxsize=PICTURES_KEPT)
def picture(content: str) -> str:
    """A QR code of this text as an SVG in a data URI.

    Always dark on white with the quiet zone of four modules that the standard asks for, whatever the page's colors
    are: many scanners cannot read an inverted code. As a picture in an `img` it can run nothing.

    Errors:
        segno.DataOverflowError: longer than any QR code holds.
    """
    code = segno.make(content, error="m", micro=False)
    uri: str = code.svg_data_uri(border=4, dark="#0b0d12", light="#fff", omitsize=True, encode_minimal=True)
    return uri
