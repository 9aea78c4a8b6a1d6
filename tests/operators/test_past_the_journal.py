"""An operator or a key that an owner or superuser wrote into the tables is found: the journal does not state it."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta

import pytest

from hutong import merchants, operators
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import Ids, encode
from support.command_line import run_here

CHANGED_CLERK = "{clerk} is not as the journal states it"
CHANGED_VIEWER = "{viewer} is not as the journal states it"

PAST_THE_JOURNAL = {
    "INSERT INTO operators.operator (id, name, role, key_hash, created_at) "
    "VALUES ('00000000-0000-7000-8000-000000000001', 'Intruder', 'admin', sha256('x'), now())": (
        "opr_0000000000e00800000000000" + "1 is not as the journal states it: it was made or changed past the journal"
    ),
    "UPDATE operators.operator SET role = 'admin' WHERE id = :viewer": "{viewer} is not as the journal states it",
    "UPDATE operators.operator SET key_hash = sha256('x') WHERE id = :viewer": CHANGED_VIEWER,
    "UPDATE operators.operator SET name = 'Somebody' WHERE id = :viewer": "{viewer} is not as the journal states it",
    "UPDATE operators.operator SET duties = '{batch_bank}' WHERE id = :viewer": CHANGED_VIEWER,
    "UPDATE operators.operator SET duties = '{}' WHERE id = :clerk": CHANGED_CLERK,
    "UPDATE operators.operator SET duties = '{batch_bank}' WHERE id = :clerk": CHANGED_CLERK,
    "UPDATE operators.operator SET disabled_at = now() WHERE id = :viewer": (
        "{viewer} was disabled or revoked past the journal"
    ),
    "UPDATE operators.operator SET disabled_at = NULL WHERE id = :gone": (
        "{gone} is disabled or revoked by the journal and works all the same"
    ),
    "DELETE FROM operators.operator WHERE id = :viewer": "{viewer} is in the journal and was removed past it",
    "INSERT INTO merchants.api_key (id, merchant_id, hash, created_at) "
    "SELECT '00000000-0000-7000-8000-000000000001', id, sha256('x'), now() FROM merchants.merchant": (
        "key_0000000000e00800000000000" + "1 is not as the journal states it"
    ),
    "UPDATE merchants.api_key SET hash = sha256('x') WHERE id = :key": "{key} is not as the journal states it",
    "UPDATE merchants.api_key SET scopes = NULL WHERE id = :key": "{key} is not as the journal states it",
    "UPDATE merchants.api_key SET expires_at = NULL WHERE id = :key": "{key} is not as the journal states it",
    "UPDATE merchants.api_key SET revoked_at = NULL WHERE id = :revoked": (
        "{revoked} is disabled or revoked by the journal and works all the same"
    ),
    "UPDATE merchants.api_key SET revoked_at = now() WHERE id = :key": "{key} was disabled or revoked past the journal",
    "DELETE FROM merchants.api_key WHERE id = :key": "{key} is in the journal and was removed past it",
}


async def test_what_was_written_past_the_journal_is_found(
    fresh_database_url: str,
    ids: Ids,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {name: ids.new() for name in ("viewer", "gone", "clerk", "key", "revoked")}
    merchant = ids.new()
    async with Database.open(fresh_database_url, size=1, role=None) as owner:
        async with owner.transaction() as tx:
            for name in ("viewer", "gone", "clerk"):
                await operators.add_operator(
                    tx, operator_id=names[name], name=name, role=operators.Role.VIEWER, random="r" * 43, reason="test",
                    now=clock.now(), duties=["batch_bank", "refund_bill"] if name == "clerk" else [],
                )  # fmt: skip
            await operators.disable_operator(tx, names["gone"], reason="left", now=clock.now())
            await merchants.create_merchant(tx, merchants.NewMerchant(merchant, "Example Store"), now=clock.now())
            limits = merchants.KeyLimits(frozenset({"payments:read"}), clock.now() + timedelta(days=1))
            for name in ("key", "revoked"):
                await merchants.create_api_key(
                    tx, merchant, key_id=names[name], random="r" * 43, now=clock.now(), limits=limits
                )
            await merchants.revoke_api_key(tx, names["revoked"], now=clock.now())
        public = {name: encode("opr" if name in ("viewer", "gone", "clerk") else "key", names[name]) for name in names}
        for statement, problem in PAST_THE_JOURNAL.items():
            async with owner.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                assert await operators.verify_operators(connection) + await merchants.verify_keys(connection) == []
                await connection.execute(re.sub(":([a-z]+)", lambda found: f"'{names[found[1]]}'", statement))
                assert (await operators.verify_audit(connection)).problems == [], "the journal itself is whole"
                found = await operators.verify_operators(connection) + await merchants.verify_keys(connection)
                await transaction.rollback()
            assert [text.startswith(problem.format(**public)) for text in found] == [True], (statement, found)
        await owner.pool.execute(next(iter(PAST_THE_JOURNAL)))
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    verdict = await asyncio.to_thread(run_here, monkeypatch, capsys, "operator", "audit", "verify", "--json")
    assert verdict.returncode == 1
    assert json.loads(verdict.stdout)["problems"] == [next(iter(PAST_THE_JOURNAL.values()))]
