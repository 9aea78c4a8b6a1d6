"""The layouts that there are: those of this package, and an operator's own folder."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from hutong.errors import InvalidParameter
from hutong.reconciliation.layouts.model import Layout

_OURS = Path(__file__).parent
_added: list[Path] = []


def add_folder(folder: Path) -> None:
    """Make an operator's own layouts known to this process; one with the name of ours takes its place.

    Repeat:
        Changes nothing.
    """
    if folder not in _added:
        _added.append(folder)


def load(name: str, folder: Path | None = None) -> Layout:
    """Return a layout.

    Args:
        folder: More layouts, besides those of `add_folder`.

    Errors:
        InvalidParameter: there is none of this name, or its file is not a layout; the detail names the entry.
    """
    path = _paths(folder).get(name)
    if path is None:
        raise InvalidParameter(f"there is no layout `{name[:64]}`", param="layout")
    return read_layout(path)


def list_layouts(folder: Path | None = None) -> list[Layout]:
    """Return all layouts by name. Errors as `load`."""
    return [read_layout(path) for _, path in sorted(_paths(folder).items())]


def _paths(folder: Path | None) -> dict[str, Path]:
    folders = [_OURS, *_added] if folder is None else [_OURS, *_added, folder]
    return {path.stem: path for each in folders for path in sorted(each.glob("*.toml"))}


def read_layout(path: Path) -> Layout:
    """Read a layout from its file.

    Errors:
        InvalidParameter: it is not one.
    """
    return _parse(path, path.read_bytes())


@lru_cache(maxsize=64)
def _parse(path: Path, content: bytes) -> Layout:
    try:
        layout = Layout.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{path.name} is not TOML in UTF-8: {error}", param="layout") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the layout"
        raise InvalidParameter(f"{path.name}: {place}: {first['msg']}", param="layout") from None
    if layout.name != path.stem:
        raise InvalidParameter(f"{path.name}: `name` must be {path.stem}", param="layout")
    return layout
