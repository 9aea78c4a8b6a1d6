"""The page's own script, style and icon."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hutong.static_files import StaticFile, read_static_files

_FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    "cashier.css": "text/css; charset=utf-8",
    "cashier.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@cache
def assets() -> dict[str, StaticFile]:
    """Return every file by name; each is read once."""
    return read_static_files(_FOLDER, "/pay/static", _MEDIA_TYPES)


@cache
def by_url() -> dict[str, StaticFile]:
    """Return every file by address."""
    return {asset.url: asset for asset in assets().values()}
