"""The bank of the sandbox: what bills settle comes on the next day, in statements that our readers prove."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from hutong.errors import Unavailable
from hutong.reconciliation import bank as banks
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.bank.entries import Bank, SandboxStatement
from hutong.sandbox.bank.formats import facts, write_camt, write_mt940
from hutong.sandbox.bill import Entry

DAY = date(2026, 11, 28)
NEXT = DAY + timedelta(1)


def row(amount: int, fee: int = 0, *, kind: str = "payment", state: str = "SUCCESS", currency: str = "CNY") -> Entry:
    at = datetime(2026, 11, 28, 4, tzinfo=UTC)
    return Entry(kind, "n", "c", "n", "c", amount, amount, currency, fee, state, at, "x", "m", {})


def channel(name: str, merchant: str, rows: dict[date, list[Entry]]) -> Any:
    store = SimpleNamespace(planted={}, truth=[{"at": "2026-11-28T04:00:00+00:00"}])
    entries: Callable[[str, date], list[Entry]] = lambda kind, day: rows.get(day, [])  # noqa: E731
    return SimpleNamespace(
        channel=name, settlements=(("trade", merchant),), odd_state="REVOKED", store=store, entries=entries
    )


def make_bank() -> Bank:
    wechat = [
        row(1_000, 6),
        row(200, -1, kind="refund"),
        row(500, state="REVOKED"),
        row(9, kind="refund", state="ABNORMAL"),
    ]
    return Bank(
        {
            "wechat": channel("wechat", "1900000109", {DAY: wechat, NEXT: [row(300, kind="refund")]}),
            "alipay": channel("alipay", "2088102146225135", {DAY: [row(400, 2)]}),
            "stripe": channel("stripe", "", {DAY: [row(70, 3), row(5, currency="USD")]}),
        }
    )


def read(tmp_path: Path, statement: SandboxStatement, form: str) -> list[tuple[int, str, str]]:
    import duckdb

    path, out = tmp_path / "s", tmp_path / "o"
    path.write_bytes({"camt": write_camt, "mt940": write_mt940}[form](statement))
    number = facts()["account"]["number"]
    banks.normalise_statement(path, out, format=form, number=number, currency=statement.currency)
    with duckdb.connect() as connection:
        return connection.execute(
            f"SELECT settled, batch, channel_no FROM read_parquet('{out}') ORDER BY line"
        ).fetchall()


@pytest.mark.parametrize("form", ["camt", "mt940"])
def test_what_bills_settle_comes_on_the_next_day(tmp_path: Path, form: str) -> None:
    bank = make_bank()
    assert read(tmp_path, bank.statement(NEXT, "CNY"), form) == [
        (795, "1900000109:2026-11-28", "SB202611290000"),
        (398, "2088102146225135:2026-11-28", "SB202611290100"),
        (67, "", "SB202611290200"),
    ]
    later = bank.statement(NEXT + timedelta(1), "CNY")
    assert later.opening_minor == bank.statement(NEXT, "CNY").closing_minor == 1_001_260
    assert [row[:2] for row in read(tmp_path, later, form)] == [(-300, "1900000109:2026-11-29")]
    assert [row[0] for row in read(tmp_path, bank.statement(NEXT, "USD"), form)] == [5]
    assert read(tmp_path, bank.statement(DAY, "JPY"), form) == []


@pytest.mark.parametrize(
    ("name", "total", "count"), [("short", -1, 3), ("missing", None, 2), ("twice", None, 4), ("joined", 0, 2)]
)
def test_planted_differences_are_in_the_key_and_in_the_balances(
    tmp_path: Path, name: str, total: int | None, count: int
) -> None:
    bank, true = make_bank(), make_bank().statement(NEXT, "CNY")
    (key,) = bank.plant(NEXT, "CNY", {name: 1}, seed=7)
    altered = bank.statement(NEXT, "CNY")
    assert len(read(tmp_path, altered, "camt")) == count
    change = sum(each["amount_minor"] for each in key["shown"]) - sum(each["amount_minor"] for each in key["true"])
    assert total is None or change == total
    assert altered.closing_minor - true.closing_minor == change
    assert bank.statement(NEXT + timedelta(1), "CNY").opening_minor == altered.closing_minor
    assert name != "joined" or [row[1] for row in read(tmp_path, altered, "camt")].count("") >= 1


async def test_the_server_states_days_and_plants_for_our_own_pages_alone(tmp_path: Path) -> None:
    async with serve(SandboxSettings(tmp_path)) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/bank/statements/2026-11-29") as answer:
            assert answer.status == 200
            assert b"camt.053.001.08" in await answer.read()
        async with session.get(f"{url}/bank/statements/2026-11-29?format=mt940") as answer:
            assert (await answer.read()).startswith(b":20:SB20261129\r\n")
        fetched = tmp_path / "fetched.xml"
        await banks.fetch_statement(f"{url}/bank/statements", NEXT, fetched, currency="CNY")
        assert b"camt.053.001.08" in fetched.read_bytes()
        with pytest.raises(Unavailable, match="422"):
            await banks.fetch_statement(f"{url}/bank/statements", NEXT, tmp_path / "none", currency="yuan")
        for wrong in ("2026-13-01", "2026-11-29?format=pdf", "2026-11-29?currency=x"):
            async with session.get(f"{url}/bank/statements/{wrong}") as answer:
                assert answer.status == 422
        control, body = f"{url}/control/bank/statement", {"day": "2026-11-29", "differences": {"short": 1}}
        async with session.post(control, json=body) as answer:
            assert (await answer.json())["key"] == []
        async with session.post(control, json=body | {"differences": {"none": 1}}) as answer:
            assert answer.status == 422
        async with session.post(control, json=body, headers={"Origin": "https://evil.example"}) as answer:
            assert answer.status == 403
    with pytest.raises(Unavailable, match="does not answer"):
        await banks.fetch_statement(f"{url}/bank/statements", NEXT, tmp_path / "none", currency="CNY")
    assert not (tmp_path / "none").exists()
