"""A merchant's color as a style of the page: each text on it can be read, and it stands out from its ground."""

from __future__ import annotations

import re
from functools import lru_cache

from hutong.static_files import StaticFile, make_static_file

Color = tuple[int, int, int]

TEXT_CONTRAST = 4.5
"""The least contrast of text, by WCAG 2.2, 1.4.3."""
SHAPE_CONTRAST = 3.0
"""The least contrast of a control from its ground, by 1.4.11."""

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_GROUNDS = {"light": ((255, 255, 255), _BLACK), "dark": ((22, 25, 30), _WHITE)}
"""The page's `--card` in each scheme, and the direction that leads away from it."""
_ADDRESS = re.compile(r"/pay/themes/([0-9a-f]{6})\.[0-9a-f]{16}\.css")
_KEPT = 512


def contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colors, from 1 to 21.

    Source:
        WCAG 2.2, the definitions of contrast ratio and of relative luminance.
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(color: Color) -> Color:
    """Return black or white, whichever is read better on a color; one of them always has a contrast above 4.5."""
    return max(_BLACK, _WHITE, key=lambda text: contrast(text, color))


def readable(color: Color, scheme: str) -> Color:
    """Return the nearest color on the way to black or white that stands out from the ground of a scheme."""
    ground, away = _GROUNDS[scheme]
    return next(c for part in range(21) if contrast(c := _mix(color, away, part / 20), ground) >= SHAPE_CONTRAST)


@lru_cache(maxsize=_KEPT)
def of_color(color: str) -> StaticFile:
    """Return the style of a color "#rrggbb"; its address contains the color and the hash of the style."""
    red, green, blue = bytes.fromhex(color[1:])
    light, dark = (_rule((red, green, blue), scheme) for scheme in _GROUNDS)
    body = f"{light}@media (prefers-color-scheme: dark) {{ {dark}}}\n".encode()
    return make_static_file(f"/pay/themes/{color[1:]}.css", "text/css; charset=utf-8", body)


def by_url(address: str) -> StaticFile | None:
    """Return the style at an address; None if there is none, or it has become another one."""
    match = _ADDRESS.fullmatch(address)
    found = None if match is None else of_color(f"#{match[1]}")
    return found if found is not None and found.url == address else None


def _rule(color: Color, scheme: str) -> str:
    button = readable(color, scheme)
    text = text_on(button)
    over = _mix(button, _GROUNDS[scheme][1], 0.12)
    if contrast(text, over) < TEXT_CONTRAST:
        over = button
    names = {"button": button, "on-button": text, "button-over": over, "accent": button}
    return ":root { " + " ".join(f"--{name}: #{bytes(value).hex()};" for name, value in names.items()) + " }\n"


def _mix(color: Color, other: Color, part: float) -> Color:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(color, other, strict=True))
    return red, green, blue


def _luminance(color: Color) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
