"""Pictures of trips: a column for each package in the order of the layers, a row for each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

WIDTH = 760
_LANES_AT, _LANE = 22, 26
_LINE, _GAP = 15, 9
_HEAD = 96
_CHARACTER = 6.1
"""The approximate width of a small character."""


def draw(name: str, trip: Mapping[str, Any]) -> str:
    """Draw a trip, as SVG in the color of the surrounding text."""
    lanes = {package: _LANES_AT + number * _LANE for number, package in enumerate(trip["packages"])}
    text_at = _LANES_AT + len(lanes) * _LANE + 8
    body: list[str] = []
    y = _HEAD
    for leg in trip["legs"]:
        body.append(_begins(leg["begins"], y, text_at))
        rows, y = _rows(leg["steps"], y + 26, lanes, text_at)
        body += rows
        y += 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" role="img" '
        f'aria-label="The way of one trip: {name}" font-family="inherit" font-size="12" fill="currentColor">'
    )
    return "\n".join([head, *_lanes(lanes, y), *body, "</svg>"]) + "\n"


def table(trips: Mapping[str, Any]) -> str:
    """Return the figures of every trip as a table."""
    rows = [
        "| trip | files | changes of file | entered most often | its files | times entered |",
        "|---|---|---|---|---|---|",
    ]
    for name, trip in trips.items():
        most, of_most = max(trip["packages"].items(), key=lambda item: item[1]["entered"])
        row = [name, trip["files"], trip["changes"], f"`{most}`", of_most["files"], of_most["entered"]]
        rows.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(rows) + "\n"


def _lanes(lanes: Mapping[str, int], height: int) -> Iterator[str]:
    for package, x in lanes.items():
        yield (
            f'<text transform="translate({x + 4} {_HEAD - 14}) rotate(-50)" font-size="12">{package}</text>'
            f'<path d="M{x} {_HEAD - 8} V{height - 8}" stroke="currentColor" stroke-opacity="0.18" fill="none"/>'
        )


def _begins(text: str, y: int, text_at: int) -> str:
    return (
        f'<path d="M0 {y} H{WIDTH}" stroke="currentColor" stroke-opacity="0.35"/>'
        f'<text x="{text_at}" y="{y + 16}" font-style="italic">{escape(text)}</text>'
    )


def _rows(steps: list[Mapping[str, Any]], y: int, lanes: Mapping[str, int], text_at: int) -> tuple[list[str], int]:
    """Draw the rows of one part of a trip; return them and their lower end."""
    shades: list[str] = []
    marks: list[str] = []
    before: tuple[int, int] | None = None
    inside, since = 0, 0
    for step in [*steps, None]:
        transaction = 0 if step is None else step["transaction"]
        if transaction != inside:
            if inside:
                shades.append(_shade(since, y - _GAP // 2))
            inside, since = transaction, y - _GAP // 2
        if step is None:
            break
        x, middle = lanes[step["package"]], y + 9
        if before is not None:
            marks.append(
                f'<path d="M{before[0]} {before[1]} V{middle - 12} L{x} {middle - 5}" fill="none" '
                f'stroke="currentColor" stroke-opacity="0.55" stroke-width="1.4"/>'
            )
        before = x, middle
        marks.append(f'<circle cx="{x}" cy="{middle}" r="5"/>')
        lines = _lines(step, WIDTH - text_at)
        functions = "\n".join(f"{file}: {function}" for file, function in step["calls"])
        marks.append(f'<g><title>{escape(functions)}</title><text x="{text_at}" y="{y + 13}">{lines[0]}</text>')
        for number, line in enumerate(lines[1:], 1):
            marks.append(
                f'<text x="{text_at}" y="{y + 13 + number * _LINE}" font-size="11" fill-opacity="0.75">{line}</text>'
            )
        marks.append("</g>")
        y += len(lines) * _LINE + _GAP
    return [*shades, *marks], y


def _shade(top: int, bottom: int) -> str:
    """Draw a transaction, from its first step to its last."""
    return (
        f'<rect x="2" y="{top}" width="{WIDTH - 4}" height="{bottom - top}" rx="6" fill-opacity="0.07"/>'
        f'<text x="{WIDTH - 10}" y="{top + 13}" text-anchor="end" font-size="10" fill-opacity="0.6">transaction</text>'
    )


def _lines(step: Mapping[str, Any], width: int) -> list[str]:
    """Draw the text of a step: the package, its entry, and the other files that take part."""
    (first, function), *_ = step["calls"]
    others = list(dict.fromkeys(file for file, _ in step["calls"] if file != first))
    request = " &#8594; HTTP request" if step["request"] else ""
    head = f'<tspan font-weight="bold">{step["package"]}</tspan> {_short(first)}: {escape(function)}{request}'
    return [head, *_wrapped(", ".join(map(_short, others)), int(width / _CHARACTER))]


def _wrapped(text: str, most: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + len(word) > most:
            yield line
            line = ""
        line += f"{word} "
    if line:
        yield line.rstrip()


def _short(file: str) -> str:
    """Return a file's name inside its package."""
    path = Path(file)
    inside = path.relative_to(path.parts[0]) if len(path.parts) > 1 else path
    return inside.with_suffix("").as_posix()
