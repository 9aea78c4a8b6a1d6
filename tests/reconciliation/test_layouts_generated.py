"""Any layout that can be written down reads any rows that are written by it: values, signs, units, marks and totals."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong import money
from hutong.channels.errors import BillRefused
from hutong.reconciliation.layouts import Layout, normalise

DAY = date(2026, 3, 1)
KEYS = st.text(alphabet="abcXYZ019_-红", min_size=1, max_size=12)
NOTES = st.text(alphabet="a ;,|'\\红\"", max_size=6)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A layout as data, with how it writes, and rows."""
    currency = draw(st.sampled_from(["CNY", "JPY", "KWD"]))
    mark, thousands = draw(st.sampled_from([(".", ""), (".", ","), (",", "."), (",", " ")]))
    world = {
        "currency": currency,
        "unit": draw(st.sampled_from(["major", "minor"])),
        "mark": mark,
        "thousands": thousands,
        "separator": draw(st.sampled_from(["|", ";", "\t", "~`"])),
        "encoding": draw(st.sampled_from(["utf-8", "gbk", "gb18030"])),
        "line_end": draw(st.sampled_from(["crlf", "any"])),
        "format": draw(st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S", "MMDDhhmmss"])),
        "zone": draw(st.sampled_from(["+08:00", "-03:30", "+00:00"])),
        "minus": draw(st.booleans()),
    }
    rows = [
        {
            "key": draw(KEYS),
            "refund": draw(st.booleans()),
            "amount": draw(st.integers(0, 10**12)),
            "fee": draw(st.integers(0, 10**6)),
            "at": datetime(2026, 2, 28, 23) + timedelta(seconds=draw(st.integers(0, 86_399))),  # noqa: DTZ001
            "note": draw(NOTES),
        }
        for _ in range(draw(st.integers(0, 8)))
    ]
    return world, rows


def layout_of(world: dict[str, Any]) -> Layout:
    amount = {"form": "amount", "mark": world["mark"], "thousands": world["thousands"]}
    amount["decimals"] = 0 if world["unit"] == "minor" else 3
    sign = "" if world["minus"] else "-"
    return Layout.model_validate(
        {
            "name": "generated",
            "title": "Generated",
            "title_zh": "生成",
            "sources": ["none"],
            "form": "csv",
            "zone": world["zone"],
            "currency": world["currency"],
            "unit": world["unit"],
            "text": {name: world[name] for name in ("separator", "encoding", "line_end")}
            | ({"prefix": "`"} if world["separator"] == "~`" else {}),
            "frame": {"after": ["#(?P<rows>[0-9]+)/(?P<amounts>[^/]*)/(?P<fees>[^/]*)"]},
            "columns": {
                "number": {"header": "编号"},
                "kind": {"header": "kind"},
                "time": {"header": "time", "form": "time", "format": world["format"]},
                "amount": {"header": "amount", **amount},
                "fee": {"header": "fee", **amount},
                "note": {"header": "note", "free": True},
            },
            "row": {"key": "number", "at": "time", "fee": "fee", "memo": "note"},
            "kinds": [
                {"kind": "refund", "all": [{"column": "kind", "among": ["R"]}],
                 "ordered": f"{sign}amount", "paid": f"{sign}amount", "settled": f"{sign}amount"},
                {"kind": "payment", "ordered": "amount", "paid": "amount", "settled": "amount"},
            ],
            "checks": [{"total": "rows"}, {"total": "amounts", "sum": "amount"}, {"total": "fees", "sum": "fee"}],
        }
    )  # fmt: skip


def written(minor: int, world: dict[str, Any]) -> str:
    text = str(minor) if world["unit"] == "minor" else money.to_major(minor, world["currency"])
    whole, point, fraction = text.partition(".")
    grouped = f"{int(whole):,}".replace(",", world["thousands"]) if world["thousands"] else whole
    if whole.startswith("-") and not grouped.startswith("-"):
        grouped = f"-{grouped}"
    return grouped + (world["mark"] if point else "") + fraction


def file_of(world: dict[str, Any], rows: list[dict[str, Any]]) -> bytes:
    separator, prefix = world["separator"], "`" if world["separator"] == "~`" else ""
    form = "%m%d%H%M%S" if world["format"] == "MMDDhhmmss" else world["format"]
    signed = [row["amount"] * (-1 if row["refund"] and world["minus"] else 1) for row in rows]
    lines = [separator.removesuffix("`").join(["编号", "kind", "time", "amount", "fee", "note"])]
    for row, amount in zip(rows, signed, strict=True):
        values = [row["key"], "R" if row["refund"] else "P", row["at"].strftime(form)]
        values += [written(amount, world), written(row["fee"], world), row["note"].replace(separator, "")]
        lines.append(prefix + separator.join(values))
    fees = written(sum(row["fee"] for row in rows), world)
    lines.append(f"#{len(rows)}/{written(sum(signed), world)}/{fees}")
    end = "\r\n" if world["line_end"] == "crlf" else "\n"
    return "".join(f"{line}{end}" for line in lines).encode(world["encoding"])


def read(layout: Layout, content: bytes) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "file", Path(folder) / "rows.parquet"
        path.write_bytes(content)
        result = normalise(layout, [path], out, account=None, day=DAY, file_index=3)
        assert result.exceptions == []
        columns = 'kind, key, ordered, settled, fee, "at", memo, currency, file'
        return duckdb.sql(f"FROM read_parquet('{out}') SELECT {columns} ORDER BY line").fetchall()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.integers(0, 1_000_000))
def test_rows_come_back_as_they_were_written(
    world_and_rows: tuple[dict[str, Any], list[dict[str, Any]]], place: int
) -> None:
    world, rows = world_and_rows
    layout, content = layout_of(world), file_of(world, rows)
    zone = timedelta(hours=int(world["zone"][:3]), minutes=int(world["zone"][0] + world["zone"][4:]))
    expected = [
        (
            "refund" if row["refund"] else "payment",
            row["key"],
            -row["amount"] if row["refund"] else row["amount"],
            -row["amount"] if row["refund"] else row["amount"],
            row["fee"],
            (row["at"] - zone).replace(tzinfo=UTC).replace(tzinfo=None),
            row["note"].replace(world["separator"], ""),
            world["currency"],
            3,
        )
        for row in rows
    ]
    assert read(layout, content) == expected
    cut = content[: place % len(content)].rstrip(b"\r\n")
    if content.removeprefix(cut).strip(b"0\r\n"):  # else the last total has lost zeros behind its mark and is the same
        with pytest.raises(BillRefused):
            read(layout, cut)
