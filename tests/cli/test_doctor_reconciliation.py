"""`hutong doctor` names bills that have not come, old differences, and suspense that is not what is open."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from test_recon_cases_commands import difference_of

from hutong import db
from hutong.clock import SystemClock
from hutong.ids import Ids
from hutong.reconciliation import differences
from hutong.reconciliation.model import Layer
from support.command_line import Run


@pytest.mark.parametrize("days", [3, 40])
def test_what_reconciliation_waits_for_is_named(command: Run, fresh_database_url: str, days: int) -> None:
    command("recon", "differences")  # migrates
    day = datetime.now(UTC).date() - timedelta(days=days)
    ids = Ids(SystemClock(), zone=0)

    async def record(tx: db.Tx) -> None:
        await differences.record(
            tx, account_id=ids.new(), day=day, layer=Layer.PAYMENT_BILL, rows=[difference_of("a", 500)],
            matched_late=(), now=SystemClock().now(), new_id=ids.new,
        )  # fmt: skip

    async def work() -> None:
        async with db.Database.open(fresh_database_url, size=1) as database:
            await database.run(record)

    asyncio.run(work())
    assert findings(command)["differences"] == (
        days < 30,
        f"1 are open, the oldest for {days} days: `hutong recon differences`",
    )
    assert findings(command)["suspense"] == (True, "it is what the open differences say")
    with psycopg.connect(fresh_database_url, autocommit=True) as owner:
        owner.execute("UPDATE reconciliation.difference SET suspense_minor = 499")
        account = ids.new()
        owner.execute(
            "INSERT INTO channels.account (id, channel, name, sandbox, credentials_sealed, enabled, version, "
            "created_at, updated_at) VALUES (%s, 'unionpay', 'x', false, '', false, 1, now(), now())", [account],
        )  # fmt: skip
        owner.execute(
            "INSERT INTO reconciliation.fetch (account_id, kind, day, next_at, error) "
            "VALUES (%s, 'trade', %s, now(), 'x')", [account, day],
        )  # fmt: skip
    assert findings(command)["suspense"][0] is False
    assert findings(command)["bills"] == (False, f"1 were not given, the oldest of {day}: `hutong recon fetch`")


def findings(command: Run) -> dict[str, tuple[bool, str]]:
    done = command("doctor", "--json")
    return {each["name"]: (each["ok"], each["seen"]) for each in json.loads(done.stdout)["findings"]}
