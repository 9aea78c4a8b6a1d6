"""The page's own script, style and icon, each under an address that contains the hash of its content."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    "cashier.css": "text/css; charset=utf-8",
    "cashier.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file.

    Attributes:
        url: The address of the file. New content has a new address, so browsers may cache it permanently.
        integrity: The hash that the browser checks (Subresource Integrity).
    """

    url: str
    integrity: str
    media_type: str
    body: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return every file by name; each is read once."""
    return {name: _read(name, media_type) for name, media_type in _MEDIA_TYPES.items()}


@cache
def by_url() -> dict[str, Asset]:
    """Return every file by address."""
    return {asset.url: asset for asset in assets().values()}


def _read(name: str, media_type: str) -> Asset:
    body = (_FOLDER / name).read_bytes()
    digest = hashlib.sha384(body).digest()
    stem, _, ending = name.rpartition(".")
    return Asset(
        url=f"/pay/static/{stem}.{digest.hex()[:16]}.{ending}",
        integrity=f"sha384-{base64.b64encode(digest).decode()}",
        media_type=media_type,
        body=body,
    )
