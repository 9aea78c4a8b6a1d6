"""The files of pages: templates, and static files, each under an address that contains the hash of its content."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One static file.

    Attributes:
        url: The address of the file. New content has a new address, so browsers may cache it permanently.
        integrity: The hash that the browser checks (Subresource Integrity).
    """

    url: str
    integrity: str
    media_type: str
    body: bytes


def read_static_files(folder: Path, prefix: str, media_types: Mapping[str, str]) -> dict[str, StaticFile]:
    """Return files by name.

    Args:
        prefix: The path below which they are served, such as "/pay/static".
        media_types: The files' media types, by name.
    """
    return {
        name: make_static_file(f"{prefix}/{name}", media_type, (folder / name).read_bytes())
        for name, media_type in media_types.items()
    }


def make_static_file(path: str, media_type: str, body: bytes) -> StaticFile:
    """Return a file whose address is a path like "/pay/static/cashier.css" with a hash before the ending."""
    digest = hashlib.sha384(body).digest()
    stem, _, ending = path.rpartition(".")
    return StaticFile(
        url=f"{stem}.{digest.hex()[:16]}.{ending}",
        integrity=f"sha384-{base64.b64encode(digest).decode()}",
        media_type=media_type,
        body=body,
    )


def read_templates(folder: Path) -> Environment:
    """Return a folder's templates: what they insert is escaped, and a name that nobody has given is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
