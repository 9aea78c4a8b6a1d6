"""QR codes as pictures."""

from __future__ import annotations

from functools import lru_cache

import segno

PICTURES_KEPT = 2_048


@lru_cache(maxsize=PICTURES_KEPT)
def picture(content: str) -> str:
    """Return a QR code of a text as an SVG in a data URI.

    Always dark on white, with the quiet zone of four modules that the standard requires, whatever the page's colors:
    many scanners cannot read an inverted code. As a picture in an `img` it can run nothing.

    Errors:
        segno.DataOverflowError: the text is longer than a QR code can hold.
    """
    code = segno.make(content, error="m", micro=False)
    uri: str = code.svg_data_uri(border=4, dark="#0b0d12", light="#fff", omitsize=True, encode_minimal=True)
    return uri
