"""`hutong payment list` and `show`: payments are found by what is known of them, and one is shown whole."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hutong import merchants
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import encode
from support.command_line import Run
from support.fixtures.disputes import DisputeWorld
from support.platform import KEY

START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def known(command: Run, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Three payments, a day apart: one paid, refunded in part and disputed, one paid, one that waits."""
    monkeypatch.setenv("HUTONG_SECRET_KEY", base64.b64encode(KEY).decode())

    async def work() -> dict[str, str]:
        async with Database.open(fresh_database_url, size=4) as database:
            world = DisputeWorld(database, ManualClock(START))
            async with database.transaction() as tx:
                shop = merchants.NewMerchant(world.merchant_id, "Example Store")
                await merchants.create_merchant(tx, shop, now=START)
            first = await world.paid()
            await world.refund(first, 300)
            dispute = await world.disputed(first)
            world.clock.advance(timedelta(days=1))
            second = await world.paid()
            world.clock.advance(timedelta(days=1))
            third = await world.payment(attempt=False)
            await world.lifecycle.stop()
        names = {"first": first, "second": second, "third": third}
        return {name: encode("pay", payment.payment_id) for name, payment in names.items()} | {
            "dispute": encode("dsp", dispute.dispute_id),
            "merchant": encode("mer", world.merchant_id),
            "order": second.merchant_order_no,
        }

    return asyncio.run(work())


def test_payments_are_found_and_one_is_shown_whole(command: Run, known: dict[str, str]) -> None:
    def listed(*arguments: str) -> list[str]:
        done = command("payment", "list", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [payment["id"] for payment in json.loads(done.stdout)["payments"]]

    first, second, third = known["first"], known["second"], known["third"]
    assert listed() == [third, second, first]
    assert listed("--limit", "1") == [third]
    assert listed("--status", "succeeded") == [second, first]
    assert listed("--method", "test_qr", "--until", "2026-05-02") == [first]
    assert listed("--method", "nothing") == []
    assert listed("--since", "2026-05-02", "--until", "2026-05-03T00:00:00Z") == [second]
    assert (
        listed("--order", known["order"])
        == listed("--order", known["order"], "--merchant", "example store")
        == [second]
    )
    assert second in command("payment", "list", "--limit", "2").stdout
    assert command("payment", "list", "--method", "nothing").stdout == "no payment is like this\n"

    done = command("payment", "show", first, "--json")
    assert done.returncode == 0, done.stderr
    story: dict[str, Any] = json.loads(done.stdout)
    assert story["merchant"] == {"id": known["merchant"], "name": "Example Store"}
    assert (story["payment"]["id"], story["payment"]["status"]) == (first, "succeeded")
    assert [attempt["state"] for attempt in story["payment"]["attempts"]] == ["succeeded"]
    assert [refund["amount_minor"] for refund in story["refunds"]] == [300]
    assert [dispute["id"] for dispute in story["disputes"]] == [known["dispute"]]
    assert story["exceptions"] == []
    assert {"payment.created", "attempt.succeeded", "payment.succeeded"} <= {one["what"] for one in story["timeline"]}
    text = command("payment", "show", first).stdout
    for part in (first, "is succeeded", known["dispute"], "attempt.succeeded", story["refunds"][0]["id"]):
        assert part in text
    unknown = command("payment", "show", "pay_01h455vb4pex5vsknk084sn02q")
    assert (unknown.returncode, "no payment has this id" in unknown.stderr) == (2, True)
    nobody = command("payment", "list", "--merchant", "Nobody")
    assert (nobody.returncode, "merchant list" in nobody.stderr) == (2, True)
    wrong = command("payment", "list", "--since", "1969-12-31")
    assert (wrong.returncode, "--since" in wrong.stderr) == (2, True)
