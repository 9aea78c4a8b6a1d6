"""`hutong channels bill`: fetches a channel's bill, checks it, and prints its rows."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import date, timedelta
from pathlib import Path

import aiohttp

from hutong.channels import Bill, BillState, Http, make_channel
from hutong.channels.accounts import create_account, find_account, keep_bill_exceptions
from hutong.channels.bill import exception_row
from hutong.cli.channel import _fetch_bill, _row_document
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.sandbox import SandboxSettings, serve
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from hutong.vault import Vault
from support.channel_rigs import Bench, make_rig
from support.command_line import Run
from support.small_disk import fill, small_disk

VAULT = Vault([b"k" * 32])


async def test_the_rows_of_a_day_are_those_that_the_channel_has_written(
    database: Database, ids: Ids, tmp_path: Path
) -> None:
    now = SystemClock().now()
    async with (
        serve(SandboxSettings(tmp_path / "sandbox", speed=1000)) as url,
        aiohttp.ClientSession() as session,
        Http.open() as http,
    ):
        rig = make_rig("wechat", Bench(url, tmp_path / "sandbox", tmp_path / "other", http, session))
        request = rig.request(now)
        await rig.channel.pay(request, now=now)
        await rig.pay(request)
        day = rig.bill_day(now)
        await rig.control.post("bill", day=day.isoformat())
        credentials = WeChatSandboxKeys.load(tmp_path / "sandbox" / "wechat").credentials(url)
        async with database.transaction() as tx:
            await create_account(
                tx, VAULT, account_id=ids.new(), channel="wechat", name=f"bills {day}", sandbox=True,
                credentials=credentials, now=now,
            )  # fmt: skip
        bill, rows = await _fetch_bill(database, VAULT, "wechat", f"bills {day}", day, None, tmp_path)
        assert (bill.state, bill.kind, len(rows)) == (BillState.READY, "trade", 1)
        with small_disk(tmp_path / "full", size_kb=64) as full:
            fill(full)
            missed, none = await _fetch_bill(database, VAULT, "wechat", f"bills {day}", day, None, full)
            assert (missed.state, none) == (BillState.UNKNOWN, [])
            assert [file.name for file in full.iterdir()] == ["ballast"]
        row = _row_document(rows[0])
        assert (row["our_no"], row["amount_minor"], row["kind"]) == (request.attempt_no, rig.amount_minor, "payment")
        # Without a day it is yesterday's, which has no rows.
        bill, rows = await _fetch_bill(database, VAULT, "wechat", f"bills {day}", None, None, tmp_path)
        assert (bill.day, rows) == (day - timedelta(days=1), [])
        assert make_channel("wechat", credentials, http, sandbox=True).capabilities.bill is not None


def connect(command: Run, tmp_path: Path) -> None:
    credentials = WeChatSandboxKeys.load(tmp_path / "keys").credentials("https://127.0.0.1:1")
    file = tmp_path / "wechat.json"
    file.write_text(json.dumps(credentials))
    file.chmod(0o600)
    assert command("channels", "add", "wechat", "main", "--credentials", str(file)).returncode == 0


def test_a_bill_that_cannot_be_fetched_ends_with_1_and_its_reason(command: Run, tmp_path: Path) -> None:
    connect(command, tmp_path)
    arguments = ("channels", "bill", "wechat", "main", "--day", "2026-03-10", "--into", str(tmp_path / "bills"))
    done = command(*arguments)
    assert done.returncode == 1
    (heading,) = csv.reader(done.stdout.splitlines())
    assert heading[:3] == ["kind", "our_no", "channel_no"]
    assert "trade 2026-03-10: unknown, 0 rows: not_sent" in done.stderr
    document = json.loads(command(*arguments, "--json").stdout)
    assert (document["state"], document["channel_code"], document["rows"]) == ("unknown", "not_sent", [])


def test_rows_that_cannot_be_read_are_listed_as_the_channel_wrote_them(
    command: Run, fresh_database_url: str, tmp_path: Path
) -> None:
    connect(command, tmp_path)
    assert command("channels", "bill-exceptions").stdout == "Every row of the bills that were read could be read.\n"

    async def keep() -> None:
        async with Database.open(fresh_database_url, size=1) as opened, opened.transaction() as tx:
            account_id = await find_account(tx, channel="wechat", name="main")
            assert account_id is not None
            bill = Bill(BillState.READY, "trade", date(2026, 3, 10))
            row = exception_row(7, "it has 28 values and 27 columns", "`a\x1b[31m,`b\udc80")
            for _ in range(2):
                assert await keep_bill_exceptions(tx, account_id, bill, [row], now=SystemClock().now()) == 1

    asyncio.run(keep())
    done = command("channels", "bill-exceptions", "wechat", "main", "--day", "2026-03-10")
    assert done.stdout.splitlines() == [
        "wechat main trade 2026-03-10 line 7: it has 28 values and 27 columns",
        "    `a\\x1b[31m,`b\ufffd",
    ]
    (one,) = json.loads(command("channels", "bill-exceptions", "--json").stdout)["exceptions"]
    assert (one["line_no"], one["text"], one["kind"]) == (7, "`a\x1b[31m,`b\ufffd", "trade")
    assert command("channels", "bill-exceptions", "wechat").returncode == 2
