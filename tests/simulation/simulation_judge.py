"""What must hold: after each commit, and once everything has come to rest."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from modelled_channel import ChannelWorld

from hutong import ledger
from hutong.ids import encode

OBSERVE = """
WITH p AS (
    SELECT id, status, amount_minor, amount_refunded_minor, expires_at, close_requested_at
    FROM payments.payment WHERE merchant_id = $1
)
SELECT json_build_object(
    'payments', (SELECT coalesce(json_agg(p ORDER BY p.id), '[]') FROM p),
    'attempts', (
        SELECT coalesce(json_agg(a ORDER BY a.id), '[]') FROM (
            SELECT a.id, a.payment_id, a.state, a.surplus, a.next_query_at, a.queries, a.learnt_by
            FROM payments.attempt a JOIN p ON a.payment_id = p.id
        ) a
    ),
    'events', (
        SELECT coalesce(json_agg(e ORDER BY e.object_id, e.object_seq), '[]') FROM (
            SELECT object_id, object_seq, type, data FROM events.outbox WHERE merchant_id = $1
        ) e
    )
)::text
"""
TRANSFERS = """
SELECT id, debit_account_id, credit_account_id, amount, pending_id, flags FROM ledger.transfer
WHERE debit_account_id = ANY ($1) OR credit_account_id = ANY ($1) ORDER BY id
"""
OPEN_ATTEMPTS = ("created", "submitted", "unknown")
FINAL_PAYMENTS = ("succeeded", "closed")

Row = dict[str, Any]


@dataclass
class Judge:
    """Looks at what is committed as an outsider, and remembers what it saw."""

    channel: ChannelWorld
    merchant_id: UUID
    account_id: UUID
    problems: list[str] = field(default_factory=list)
    state: dict[str, list[Row]] = field(default_factory=lambda: {"payments": [], "attempts": [], "events": []})

    def wrong(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # After each commit

    def look(self, text: str) -> None:
        """Compare what is committed now with what was before."""
        before, self.state = self.state, json.loads(text)
        self._frozen(before)
        self._events(before)
        self._attempts()

    def due_at(self) -> datetime | None:
        """When the worker has something to do next."""
        times = [a["next_query_at"] for a in self.state["attempts"] if a["next_query_at"]]
        times += [
            p["expires_at"]
            for p in self.state["payments"]
            if p["status"] not in FINAL_PAYMENTS and not p["close_requested_at"]
        ]
        return min((datetime.fromisoformat(time) for time in times), default=None)

    def _frozen(self, before: dict[str, list[Row]]) -> None:
        now = {p["id"]: p["status"] for p in self.state["payments"]}
        for payment in before["payments"]:
            was, is_now = payment["status"], now.get(payment["id"])
            if was in FINAL_PAYMENTS and is_now != was:
                self.wrong(f"a final payment went from {was} to {is_now}")
        tries = {a["id"]: a for a in self.state["attempts"]}
        for attempt in before["attempts"]:
            after = tries.get(attempt["id"])
            if after is None:
                self.wrong("an attempt has vanished")
            elif attempt["state"] not in OPEN_ATTEMPTS:
                same = (after["state"], after["surplus"]) == (attempt["state"], attempt["surplus"])
                late = attempt["state"] != "succeeded" and after["state"] == "succeeded" and after["surplus"]
                if not same and not late:
                    self.wrong(f"a final attempt went from {attempt['state']} to {after['state']}")

    def _events(self, before: dict[str, list[Row]]) -> None:
        rows = {p["id"]: p for p in self.state["payments"]}
        tries: dict[str, list[Row]] = {}
        for attempt in self.state["attempts"]:
            tries.setdefault(attempt["payment_id"], []).append(attempt)
        known = {(e["object_id"], e["object_seq"]) for e in before["events"]}
        numbers: dict[str, list[int]] = {}
        for event in self.state["events"]:
            numbers.setdefault(event["object_id"], []).append(event["object_seq"])
            if (event["object_id"], event["object_seq"]) in known:
                continue
            data, payment = event["data"], rows.get(event["object_id"])
            if payment is None:
                self.wrong(f"{event['type']} is about no payment that was committed")
            elif data["object"] == "payment":
                told = (
                    data["status"],
                    data["amount_refunded_minor"],
                    [(a["state"], a["surplus"]) for a in data["attempts"]],
                )
                stored = (
                    payment["status"],
                    payment["amount_refunded_minor"],
                    [(a["state"], a["surplus"]) for a in tries.get(payment["id"], [])],
                )
                if told != stored:
                    self.wrong(f"{event['type']} tells {told}, committed is {stored}")
        for found in numbers.values():
            if found != list(range(1, len(found) + 1)):
                self.wrong(f"events are numbered {found}")

    def _attempts(self) -> None:
        took = self.channel.took()
        counted = Counter(
            a["payment_id"] for a in self.state["attempts"] if a["state"] == "succeeded" and not a["surplus"]
        )
        for payment in self.state["payments"]:
            if counted[payment["id"]] != (payment["status"] == "succeeded"):
                self.wrong(f"a payment is {payment['status']} with {counted[payment['id']]} successes that count")
        for attempt in self.state["attempts"]:
            number = encode("att", UUID(attempt["id"]))
            if attempt["state"] == "succeeded" and number not in took:
                self.wrong("an attempt has succeeded, and the channel has taken no money")
            if (attempt["state"] in OPEN_ATTEMPTS) != (attempt["next_query_at"] is not None):
                self.wrong(f"an attempt is {attempt['state']} with next_query_at {attempt['next_query_at']}")

    # At the end

    def rest(self, transfers: list[Any]) -> None:
        """Everything is final, and each unit of money that moved outside is in the books once."""
        for payment in self.state["payments"]:
            if payment["status"] not in FINAL_PAYMENTS:
                self.wrong(f"a payment is still {payment['status']}")
        for attempt in self.state["attempts"]:
            if attempt["state"] in OPEN_ATTEMPTS:
                self.wrong(f"an attempt is still {attempt['state']}")
        self._money(transfers)
        self._successes_told()

    def _money(self, transfers: list[Any]) -> None:
        attempts = {encode("att", UUID(a["id"])): a for a in self.state["attempts"]}
        amounts = {p["id"]: p["amount_minor"] for p in self.state["payments"]}
        booked = {UUID(str(t["id"])): t for t in transfers}
        receivable = self.account(1101, self.account_id)
        for number, times in self.channel.took().items():
            attempt = attempts.get(number)
            if attempt is None or attempt["state"] != "succeeded":
                self.wrong(f"the channel took money for an attempt that is {attempt and attempt['state']}")
                continue
            transfer = booked.get(UUID(attempt["id"]))
            to = self.account(2202, self.account_id) if attempt["surplus"] else self.account(2001, self.merchant_id)
            if times != 1 or transfer is None:
                self.wrong(f"the channel took {times} times, booked is {transfer}")
            elif (transfer["debit_account_id"], transfer["credit_account_id"], transfer["amount"]) != (
                receivable,
                to,
                amounts[attempt["payment_id"]],
            ):
                self.wrong("a success is booked between the wrong accounts, or with a wrong amount")
        taken = sum(amounts[attempts[n]["payment_id"]] for n in self.channel.took() if n in attempts)
        credited = sum(t["amount"] for t in transfers if t["debit_account_id"] == receivable)
        if credited != taken:
            self.wrong(f"the channel took {taken}, the books hold {credited}")

    def account(self, code: int, owner: UUID) -> UUID:
        return UUID(int=ledger.account_id(code, owner, "CNY"))

    def accounts(self) -> list[UUID]:
        own = [self.account(code, self.account_id) for code in (1101, 2201, 2202, 2203, 2301)]
        return [*own, *(self.account(code, self.merchant_id) for code in (2001, 2002, 2003))]

    def _successes_told(self) -> None:
        told = Counter((e["object_id"], e["type"]) for e in self.state["events"])
        for payment in self.state["payments"]:
            surplus = sum(a["payment_id"] == payment["id"] and a["surplus"] for a in self.state["attempts"])
            for kind, expected in {
                "payment.succeeded": int(payment["status"] == "succeeded"),
                "payment.closed": int(payment["status"] == "closed"),
                "payment.surplus_received": surplus,
            }.items():
                if told[payment["id"], kind] != expected:
                    self.wrong(f"{kind} was told {told[payment['id'], kind]} times instead of {expected}")
