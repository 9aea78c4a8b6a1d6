"""The oracle: what the client was promised, what the channels did, what the API and the webhooks tell, and the books.

It looks from outside alone, once everything is quiet, and at the sums of the books all the time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from campaigns.installation import Installation
from campaigns.promises import Log
from hutong.demo.merchant import Client
from hutong.demo.payers import alphanumeric, read_channel_log
from support.storm_merchant import View, differences

SUMS = """
SELECT ledger, sum(debits_posted) - sum(credits_posted), sum(debits_pending) - sum(credits_pending)
FROM ledger.account GROUP BY ledger
"""
OWED = "SELECT coalesce(sum(debits_posted - credits_posted), 0)::bigint FROM ledger.account WHERE code = 1101"
UNFINISHED = """
SELECT (SELECT count(*) FROM events.delivery WHERE state <> 'delivered'),
    (SELECT count(*) FROM payments.refund WHERE state NOT IN ('succeeded', 'failed', 'manual')
        AND NOT (kind = 'surplus' AND state = 'held' AND tries > 0)),
    (SELECT count(*) FROM payments.attempt WHERE state NOT IN ('succeeded', 'failed', 'closed')),
    (SELECT count(*) FROM payments.payment WHERE status NOT IN ('succeeded', 'closed'))
"""
SUCCESSES = "SELECT count(*) FROM payments.attempt WHERE state = 'succeeded'"
LEFT = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()
        AND state_change < clock_timestamp() - interval '2 seconds'),
    (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_locks WHERE NOT granted),
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())
"""
HURRY = "UPDATE events.delivery SET next_at = now() WHERE state <> 'delivered' AND next_at > now()"
_EXAMPLES = 3
_PAYMENT_ID = re.compile(r"pay_[0-9a-z]{26}")
_MOST_CONNECTIONS = 60


@dataclass
class Findings:
    """What does not hold, counted, with examples; and the promises that were kept.

    Attributes:
        rest_s: After how many seconds nothing was unfinished; None if that was not reached.
        suspects: Payments about which something does not hold.
        evidence: What API and channels have about some of them.
    """

    broken: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    kept: Counter[str] = field(default_factory=Counter)
    successes: Counter[str] = field(default_factory=Counter)
    rest_s: float | None = None
    suspects: set[str] = field(default_factory=set)
    evidence: dict[str, Any] = field(default_factory=dict)

    def wrong(self, invariant: str, example: object) -> None:
        self.broken[invariant].append(str(example))
        self.suspects |= set(_PAYMENT_ID.findall(str(example)))

    def shown(self) -> dict[str, Any]:
        """Return each broken invariant with its number of cases and the first examples."""
        return {name: {"cases": len(all_), "examples": all_[:_EXAMPLES]} for name, all_ in sorted(self.broken.items())}


@dataclass
class Facts:
    """Everything that is compared."""

    payments: dict[str, dict[str, Any]]
    refunds: dict[str, list[dict[str, Any]]]
    truth: list[dict[str, Any]]
    view: View
    log: Log


@asynccontextmanager
async def watching_the_books(url: str, findings: Findings) -> AsyncIterator[None]:
    """Read the sums of the books twice a second for the length of a block: in each snapshot debits are credits."""

    async def watch() -> None:
        while True:
            with suppress(psycopg.Error, TimeoutError):  # the server is down just now
                await look()
            await asyncio.sleep(0.5)

    async def look() -> None:
        async with asyncio.timeout(5), await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for ledger, posted, pending in await (await connection.execute(SUMS)).fetchall():
                findings.kept["snapshots of the books"] += 1
                if posted or pending:
                    findings.wrong("I1 debits are credits in each snapshot", (ledger, posted, pending))

    watch_task = asyncio.create_task(watch())
    try:
        yield
    finally:
        watch_task.cancel()
        await asyncio.gather(watch_task, return_exceptions=True)


async def come_to_rest(url: str, client: Client, findings: Findings, *, within_s: float) -> None:
    """Wait until nothing is unfinished, here and at the channels, whose news of late money may still be on its way.

    Webhooks that wait for their next attempt after a failed one need not wait.
    """
    loop = asyncio.get_running_loop()
    began, left = loop.time(), None
    while loop.time() < began + within_s:
        with suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                left = await (await connection.execute(UNFINISHED)).fetchone()
                if left == (0, 0, 0, 0) and await _knows_all_successes(connection, client):
                    findings.rest_s = round(loop.time() - began, 1)
                    return
                if loop.time() > began + 5:
                    await connection.execute(HURRY)
        await asyncio.sleep(0.25)
    findings.wrong("I10 everything comes to an end", f"webhooks, refunds, attempts, payments unfinished: {left}")


async def _knows_all_successes(connection: psycopg.AsyncConnection[Any], client: Client) -> bool:
    taken, _ = _money(await read_channel_log(client))
    known = await (await connection.execute(SUCCESSES)).fetchone()
    return known is not None and known[0] >= len(taken)


async def judge(
    installation: Installation, client: Client, key: str, view: View, log: Log, findings: Findings, rest_s: float
) -> None:
    """Compare everything with everything, once it has come to rest."""
    url = await installation.database_url()
    await come_to_rest(url, client, findings, within_s=rest_s)
    payments = await _list_payments(client, key)
    findings.suspects |= {
        name for name, payment in payments.items() if payment["status"] not in ("succeeded", "closed")
    }
    facts = Facts(payments, await _list_refunds(client, key, payments), await read_channel_log(client), view, log)
    for problem, cases in log.problems.items():
        findings.broken[f"client: {problem}"] += [problem] * cases
    _check_promises(facts, findings)
    _check_channels(facts, findings)
    _check_refunds(facts, findings)
    _check_webhooks(facts, findings)
    await _check_exceptions(installation, client, facts, findings)
    await _check_books(installation, url, facts, findings)
    for payment_id in sorted(findings.suspects & payments.keys())[:_EXAMPLES]:
        address = f"{client.address}/v1/payments/{payment_id}/timeline"
        numbers = {alphanumeric(attempt["id"]) for attempt in payments[payment_id]["attempts"]}
        findings.evidence[payment_id] = {
            "timeline": (await client.call("GET", address, key=key))["data"],
            "payment": payments[payment_id],
            "channel": [row for row in facts.truth if alphanumeric(row["order_no"] or "") in numbers],
        }


async def _read_channel_orders(client: Client) -> list[dict[str, Any]]:
    simulated = await client.call("GET", f"{client.sandbox_address}/control")
    orders: list[dict[str, Any]] = []
    for name in simulated["channels"]:
        orders += (await client.call("GET", f"{client.sandbox_address}/control/{name}/orders"))["orders"]
    return orders


async def _list_payments(client: Client, key: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    cursor = ""
    while True:
        page = await client.call("GET", f"{client.address}/v1/payments?limit=100{cursor}", key=key)
        found |= {payment["id"]: payment for payment in page["data"]}
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def _list_refunds(
    client: Client, key: str, payments: Mapping[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """List the refunds of each payment that has succeeded, or whose attempt took money nevertheless."""
    room = asyncio.Semaphore(8)

    async def refunds(payment_id: str) -> tuple[str, list[dict[str, Any]]]:
        async with room:
            page = await client.call("GET", f"{client.address}/v1/payments/{payment_id}/refunds", key=key)
            return payment_id, page["data"]

    paid = [name for name, one in payments.items() if any(a["state"] == "succeeded" for a in one["attempts"])]
    return dict(await asyncio.gather(*(refunds(name) for name in paid)))


def _check_promises(facts: Facts, findings: Findings) -> None:
    """I5, I6: what was promised is there, with the same content, once."""
    by_order: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for payment in facts.payments.values():
        by_order[payment["merchant_order_no"]].append(payment)
    refunds = {r["id"]: r for found in facts.refunds.values() for r in found}
    for promise in facts.log.promises:
        body = promise.body
        if promise.what == "refund":
            kept = refunds.get(body["id"])
            names = ("id", "payment_id", "merchant_refund_no", "amount_minor", "currency")
        else:
            kept = facts.payments.get(body["id"])
            names = ("id", "merchant_order_no", "amount_minor", "currency", "subject", "created_at", "checkout_url")
        if kept is None or any(kept[name] != body[name] for name in names):
            findings.wrong(f"I5 a {promise.what} that was promised is there", (promise.key, body["id"]))
        elif promise.what == "capture" and kept["status"] not in ("succeeded", "closed"):
            findings.wrong("I5 a capture that was promised is done", (promise.key, kept["status"]))
        else:
            findings.kept[promise.what] += 1
    for number, found in by_order.items():
        if len(found) != 1:
            findings.wrong("I6 one order number is one payment", number)
    numbers = Counter(refund["merchant_refund_no"] for refund in refunds.values() if refund["kind"] == "refund")
    for number, times in numbers.items():
        if times > 1:
            findings.wrong("I6 one refund number is one refund", number)
        if number in facts.log.refusals and number not in facts.log.of("refund"):
            findings.wrong("I6 a refusal stays a refusal", number)


def _check_channels(facts: Facts, findings: Findings) -> None:
    """I2: each success at a channel is credited once or refunded once, and nothing else is credited."""
    taken, returned = _money(facts.truth)
    attempts = {
        alphanumeric(attempt["id"]): (payment, attempt)
        for payment in facts.payments.values()
        for attempt in payment["attempts"]
    }
    for number, amounts in taken.items():
        payment, attempt = attempts.get(number, (None, None))
        if payment is None or attempt is None or attempt["state"] != "succeeded":
            findings.wrong(
                "I2 money that a channel took is known",
                (number, attempt and attempt["state"], payment and payment["id"]),
            )
        elif len(amounts) > 1:
            findings.wrong("I2 a channel takes money once for an order", (number, amounts))
        elif attempt["surplus"]:
            findings.successes["refunded"] += 1
            if returned[number] != amounts and not _waits_for_a_person(facts, payment):
                findings.wrong("I2 a surplus is refunded once", (number, amounts, returned[number]))
        else:
            findings.successes["credited"] += 1
            if payment["status"] != "succeeded" or payment["amount_captured_minor"] != amounts[0]:
                findings.wrong("I2 a success is credited with its amount", (number, amounts, payment["status"]))
    for number, (payment, attempt) in attempts.items():
        if attempt["state"] == "succeeded" and number not in taken:
            findings.wrong("I2 nothing is credited that the channel has not taken", payment["id"])
    for payment in facts.payments.values():
        counted = [a for a in payment["attempts"] if a["state"] == "succeeded" and not a["surplus"]]
        if len(counted) != (payment["status"] == "succeeded"):
            findings.wrong("I2 a payment counts one success", (payment["id"], len(counted)))


def _waits_for_a_person(facts: Facts, payment: dict[str, Any]) -> bool:
    """Tell whether a surplus that the channel refuses to give back is retried and the merchant was told of it."""
    own = [r for r in facts.refunds[payment["id"]] if r["kind"] == "surplus" and r["state"] == "held"]
    return bool(own) and {r["id"] for r in own} <= facts.view.about["refund.needs_attention"]


def _check_refunds(facts: Facts, findings: Findings) -> None:
    """I3: never more goes back than was captured, by the API and at the channel, which agree."""
    taken, returned = _money(facts.truth)
    for payment_id, found in facts.refunds.items():
        payment = facts.payments[payment_id]
        own = [refund for refund in found if refund["kind"] == "refund" and refund["state"] != "failed"]
        going = sum(refund["amount_minor"] for refund in own)
        if going > payment["amount_captured_minor"]:
            findings.wrong("I3 refunds are at most the captured amount", (payment_id, going))
        if going != payment["amount_refunded_minor"] + payment["amount_refunding_minor"]:
            findings.wrong("I3 a payment shows its refunds", (payment_id, going))
        numbers = [alphanumeric(a["id"]) for a in payment["attempts"] if a["state"] == "succeeded" and not a["surplus"]]
        for number in numbers:
            back = sum(returned[number])
            if back > sum(taken[number]) or back != payment["amount_refunded_minor"]:
                findings.wrong("I3 the channel gave back what the API shows", (payment_id, back, going))


def _money(truth: list[dict[str, Any]]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return the amounts that channels took and gave back, by the number of the attempt."""
    taken: dict[str, list[int]] = defaultdict(list)
    returned: dict[str, list[int]] = defaultdict(list)
    for row in truth:
        if row["event"] in ("paid", "captured"):
            taken[alphanumeric(row["order_no"])].append(row["amount_minor"])
        elif row["event"] == "refunded":
            returned[alphanumeric(row["order_no"])].append(row["amount_minor"])
    return taken, returned


def _check_webhooks(facts: Facts, findings: Findings) -> None:
    """I7, I11: numbers have no gap, and a merchant who listens knows what the API answers."""
    view = facts.view
    for name, numbers in view.numbers.items():
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            findings.wrong("I7 the events of an object are numbered 1, 2, …", (name, numbers))
    known = view.of("payment")
    for name, payment in facts.payments.items():
        if name not in known:
            if any(a["state"] == "succeeded" for a in payment["attempts"]) or payment["status"] == "closed":
                findings.wrong("I11 webhooks tell what the API shows", f"no event about {name}")
            continue
        differing = differences(name, view.payment(name), payment)
        if differing:
            findings.wrong("I11 webhooks tell what the API shows", differing)
    for name in known.keys() - facts.payments.keys():
        findings.wrong("I7 nothing is published that was rolled back", name)
    shown = {r["id"]: r for found in facts.refunds.values() for r in found if r["kind"] == "refund"}
    for name, refund in view.of("refund").items():
        if shown.get(name, refund if refund["kind"] == "surplus" else None) != refund:
            findings.wrong("I11 webhooks tell what the API shows", name)
    findings.kept["webhooks"] = len(view.taken)


async def _check_exceptions(installation: Installation, client: Client, facts: Facts, findings: Findings) -> None:
    """I17: a message with another amount that was accepted from its channel is there for a person to see."""
    if not facts.log.misstated:
        return
    attempts = {alphanumeric(number): number for number in facts.log.misstated}
    listed = json.loads(await installation.command("payment", "exceptions", "--all", "--limit", "10000", "--json"))
    kept = {item["attempt_id"] for item in listed["exceptions"] if item["kind"] == "amount_mismatch"}
    for order in await _read_channel_orders(client):
        attempt = attempts.get(alphanumeric(order["order_no"]))
        if attempt is not None and order["accepted"]:
            findings.kept["misstated amounts"] += 1
            if attempt not in kept:
                findings.wrong("I17 what does not fit is kept for a person", attempt)


async def _check_books(installation: Installation, url: str, facts: Facts, findings: Findings) -> None:
    """I1, I2, I13, I16: the books hold when recomputed, they have what the channels have, and nothing is left."""
    taken, returned = _money(facts.truth)
    at_channels = sum(map(sum, taken.values())) - sum(map(sum, returned.values()))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        (booked,) = await (await connection.execute(OWED)).fetchone() or (None,)
        left = await (await connection.execute(LEFT)).fetchone()
    findings.kept["minor units at channels"], findings.kept["minor units in the books"] = at_channels, booked
    if booked != at_channels:
        findings.wrong("I2 the books owe what the channels have", (booked, at_channels))
    for command in (("ledger", "verify"), ("ledger", "check")):
        if complaint := await installation.complaint(*command):
            findings.wrong(f"I1, I13 hutong {' '.join(command)}", complaint[:500])
    doubts = json.loads(await installation.command("payment", "in-doubt", "--json"))
    if any(doubts.values()):
        findings.wrong("I10 nothing stays in doubt", doubts)
    assert left is not None
    if any(left[:3]) or left[3] > _MOST_CONNECTIONS:
        findings.wrong("I16 no transaction, lock or connection is left", left)
