"""`hutong routing replay`: the changes that a draft would have made, as a table, as a picture, and for programs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from rich.table import Table

from hutong import db, money, payments, routing
from hutong.cli.common import check_target
from hutong.cli.output import print_json, print_line, print_problem
from hutong.cli.routing.state import read_draft, read_instant, read_text, with_routing
from hutong.cli.tables import console
from hutong.clock import SystemClock
from hutong.errors import InvalidParameter

_BAR = 12
_WAS, _WOULD = "#9aa5b1", "#2563eb"


def run_replay(start: str, end: str | None, draft: Path, picture: Path | None, *, as_json: bool) -> int:
    """Backtest a draft; return the exit status, 1 if any decision was not made again as recorded."""
    check_target(picture, "--picture")
    now = SystemClock().now()
    first = read_instant(start, "--from", now=now, back=True)
    last = now if end is None else read_instant(end, "--to", now=now, back=True)
    if first >= last:
        raise InvalidParameter("--to must be later than --from", param="--to")
    source = read_text(draft)

    async def work(database: db.Database, state: routing.RoutingState) -> Mapping[str, Any]:
        configuration = (await read_draft(database, state, source)).configuration
        async with database.transaction() as tx:
            result = await routing.backtest(tx, first, last, configuration, outcomes=payments.attempt_outcomes)
        return result.document()

    started = time.perf_counter()
    result = with_routing(work)
    seconds = round(time.perf_counter() - started, 3)
    document = {**result, "from": first.isoformat(), "to": last.isoformat(), "seconds": seconds}
    if picture is not None:
        picture.write_text(draw(document), "utf-8")
    if as_json:
        print_json(document)
    else:
        _print(document)
    return 1 if document["differing"] else 0


def _print(document: Mapping[str, Any]) -> None:
    print_line(f"{document['replayed']} decisions made again in {document['seconds']:.1f} s")
    print_line(f"under the configuration that was in force: {document['differing']} differing")
    if document["differing"]:
        print_problem(f"the rest cannot be trusted; the first of them: {', '.join(document['examples'])}")
    if document["gone"]:
        print_line(f"{document['gone']} were left out: what they were based on is not kept")
    print_line(f"the draft would send {document['moved']} to another account")
    output = console()
    for currency, result in document["currencies"].items():
        output.print(_table(currency, result))


def _table(currency: str, result: Mapping[str, Any]) -> Table:
    table = Table(title=currency)
    table.add_column("account")
    table.add_column("", no_wrap=True)
    table.add_column("share", no_wrap=True)
    for heading in ("decisions", "expected", "observed", "captured", "cost", "margin"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in result["accounts"]:
        table.add_row(line["account"], "was", *_cells(line["was"], currency))
        table.add_row("", "draft", *_cells(line["would"], currency), end_section=True)
    table.add_row("all", "was", *_cells(result["was"], currency))
    table.add_row("", "draft", *_cells(result["would"], currency))
    change = result["change"]
    amounts = (_money(change[name], currency, sign="+") for name in ("captured_minor", "cost_minor", "margin_minor"))
    table.add_row("", "change", "", "", f"{change['expected_success']:+.2%}", "", *amounts)
    return table


def _cells(side: Mapping[str, Any], currency: str) -> tuple[str, ...]:
    bar = "█" * round(side["share"] * _BAR)
    amounts = (_money(side[name], currency) for name in ("captured_minor", "cost_minor", "margin_minor"))
    expected, observed = (
        "" if side[name] is None else f"{side[name]:.2%}" for name in ("expected_success", "observed_success")
    )
    return f"{bar:<{_BAR}} {side['share']:>6.1%}", str(side["decisions"]), expected, observed, *amounts


def _money(amount_minor: int, currency: str, *, sign: str = "") -> str:
    """Return an amount in the currency's major unit."""
    return f"{sign if amount_minor >= 0 else ''}{money.to_major(amount_minor, currency)}"


def draw(document: Mapping[str, Any]) -> str:
    """Return a picture of each account's share, as recorded and under the draft, as SVG."""
    rows: list[str] = []
    at = 34
    for currency, result in document["currencies"].items():
        change = result["change"]
        margin = _money(change["margin_minor"], currency, sign="+")
        cost = _money(change["cost_minor"], currency, sign="+")
        summary = f"{currency}: success {change['expected_success']:+.2%}, cost {cost}, margin {margin}"
        rows.append(f'<text x="16" y="{at}" font-weight="bold">{escape(summary)}</text>')
        at += 26
        for line in result["accounts"]:
            rows.append(f'<text x="16" y="{at + 14}">{escape(line["account"])}</text>')
            for offset, (side, color) in enumerate(((line["was"], _WAS), (line["would"], _WOULD))):
                top, width = at + offset * 14, round(side["share"] * 400, 1)
                rows.append(f'<rect x="220" y="{top}" width="{width}" height="12" fill="{color}"/>')
                rows.append(f'<text x="{224 + width}" y="{top + 10}" font-size="10">{side["share"]:.1%}</text>')
            at += 40
        at += 16
    rows.append(f'<rect x="16" y="{at}" width="12" height="12" fill="{_WAS}"/><text x="34" y="{at + 10}">was</text>')
    rows.append(
        f'<rect x="84" y="{at}" width="12" height="12" fill="{_WOULD}"/><text x="102" y="{at + 10}">draft</text>'
    )
    size = f'width="700" height="{at + 28}" font-family="sans-serif" font-size="12"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(rows)}</svg>\n'
    )
