"""What must hold: after each commit, and once everything has come to rest."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from modelled_channel import ChannelWorld, Order

from hutong.ids import encode
from hutong.ledger.accounting.chart import account_id
from hutong.payments import success_id

OBSERVE = """
WITH p AS (
    SELECT id, status, amount_minor, amount_captured_minor, amount_refunded_minor, amount_refunding_minor, expires_at,
        amount_disputed_minor, close_requested_at, capture_before, capture_requested_at
    FROM payments.payment WHERE merchant_id = $1
)
SELECT json_build_object(
    'payments', (SELECT coalesce(json_agg(p ORDER BY p.id), '[]') FROM p),
    'attempts', (
        SELECT coalesce(json_agg(a ORDER BY a.created_at, a.ordinal), '[]') FROM (
            SELECT a.id, a.payment_id, a.state, a.surplus, a.amount_captured_minor, a.amount_paid_minor,
                a.amount_settled_minor, a.next_query_at, a.verify_at, a.queries, a.source, a.created_at, a.ordinal
            FROM payments.attempt a JOIN p ON a.payment_id = p.id
        ) a
    ),
    'refunds', (
        SELECT coalesce(json_agg(r ORDER BY r.id), '[]') FROM (
            SELECT id, payment_id, attempt_id, kind, amount_minor, route, state, next_query_at, late_success_at,
                late_failure_at, portal_no, paid_minor, settled_minor
            FROM payments.refund WHERE merchant_id = $1
        ) r
    ),
    'disputes', (
        SELECT coalesce(json_agg(d ORDER BY d.id), '[]') FROM (
            SELECT d.id, d.payment_id, d.dispute_no, d.state, d.taken_minor, d.fee_minor, d.held_minor
            FROM payments.dispute AS d JOIN p ON d.payment_id = p.id
        ) d
    ),
    'waiting', (
        SELECT coalesce(json_agg(e ORDER BY e.number), '[]') FROM (
            SELECT e.number, e.reason FROM payments.exception AS e JOIN p ON e.payment_id = p.id
            WHERE e.status = 'open' AND e.kind = 'unknown_number' AND e.about = 'refund'
        ) e
    ),
    'events', (
        SELECT coalesce(json_agg(e ORDER BY e.object_id, e.object_seq), '[]') FROM (
            SELECT object_id, object_seq, type, data FROM events.outbox WHERE merchant_id = $1
        ) e
    )
)::text
"""
# What did not fit at the end is not matched by the next simulation.
SET_ASIDE = """
UPDATE payments.exception SET status = 'ignored', decided_at = last_seen_at WHERE account_id = $1 AND status = 'open'
"""
TRANSFERS = """
SELECT id, debit_account_id, credit_account_id, amount, pending_id, flags, code FROM ledger.transfer
WHERE debit_account_id = ANY ($1) OR credit_account_id = ANY ($1) ORDER BY id
"""
BALANCES = """
SELECT id, debits_pending, debits_posted, credits_pending, credits_posted FROM ledger.account
WHERE id = ANY ($1) ORDER BY id
"""
# What a failed simulation has left behind is out of the way of the next ones.
PUT_ASIDE = """
UPDATE payments.attempt
SET verify_at = NULL, next_query_at = CASE WHEN finished_at IS NULL THEN 'infinity'::timestamptz END
WHERE verify_at IS NOT NULL OR next_query_at IS NOT NULL;
UPDATE payments.refund SET next_query_at = 'infinity' WHERE next_query_at IS NOT NULL;
UPDATE payments.payment SET expires_at = 'infinity', capture_before = 'infinity'
WHERE status NOT IN ('succeeded', 'closed');
"""
OPEN_ATTEMPTS = ("created", "submitted", "unknown", "authorized")
OPEN_REFUNDS = ("created", "held", "submitted", "unknown", "payout")
POOR = "insufficient_merchant_funds"
FINAL_PAYMENTS = ("succeeded", "closed")
PENDING, VOID = 2, 8
"""Flags of transfers in which no money moves."""
NO_MONEY = ("failed", "superseded")
OPEN_DISPUTES = ("needs_response", "under_review")
DISPUTE_CODES = (17, 18, 19, 20)
ROUNDING_MAX = 2
"""How far a refund's part may be from its proportion: each part is of what others, rounded as well, have left."""
REFUND_NUMBERS = {"void": "rvo", "original": "ref"}

Row = dict[str, Any]


@dataclass
class Judge:
    """Looks at what is committed as an outsider, and remembers what it saw."""

    channel: ChannelWorld
    merchant_id: UUID
    account_id: UUID
    problems: list[str] = field(default_factory=list)
    state: dict[str, list[Row]] = field(
        default_factory=lambda: {
            "payments": [],
            "attempts": [],
            "refunds": [],
            "events": [],
            "waiting": [],
            "disputes": [],
        }
    )

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
        self._refunds(before)
        self._disputes(before)

    def counts(self, number: str) -> bool:
        """Whether a payment counts the attempt with this number."""
        return any(
            encode("att", UUID(a["id"])) == number and a["state"] == "succeeded" and not a["surplus"]
            for a in self.state["attempts"]
        )

    def waits(self) -> bool:
        """Whether a refund in the channel's portal is to be tried again."""
        return any(item["reason"] != POOR for item in self.state["waiting"])

    def due_at(self, kind: str) -> datetime | None:
        """When the worker's sweep of payments or of refunds has something to do next."""
        if kind == "refunds":
            return _earliest([refund["next_query_at"] for refund in self.state["refunds"]])
        times = [attempt[name] for attempt in self.state["attempts"] for name in ("next_query_at", "verify_at")]
        for payment in self.state["payments"]:
            if payment["status"] not in FINAL_PAYMENTS and not payment["close_requested_at"]:
                if payment["status"] != "requires_capture":
                    times.append(payment["expires_at"])
                elif not payment["capture_requested_at"]:
                    times.append(payment["capture_before"])
        return _earliest(times)

    def _frozen(self, before: dict[str, list[Row]]) -> None:
        now = {p["id"]: p["status"] for p in self.state["payments"]}
        for payment in before["payments"]:
            was, is_now = payment["status"], now.get(payment["id"])
            if was in FINAL_PAYMENTS and is_now != was:
                self.wrong(f"a final payment went from {was} to {is_now}")
        attempts = {a["id"]: a for a in self.state["attempts"]}
        for attempt in before["attempts"]:
            after = attempts.get(attempt["id"])
            if after is None:
                self.wrong("an attempt has vanished")
            elif attempt["state"] not in OPEN_ATTEMPTS:
                same = (after["state"], after["surplus"]) == (attempt["state"], attempt["surplus"])
                late = attempt["state"] != "succeeded" and after["state"] == "succeeded" and after["surplus"]
                if not same and not late:
                    self.wrong(f"a final attempt went from {attempt['state']} to {after['state']}")

    def _events(self, before: dict[str, list[Row]]) -> None:
        rows = {p["id"]: p for p in self.state["payments"]}
        attempts: dict[str, list[Row]] = {}
        for attempt in self.state["attempts"]:
            attempts.setdefault(attempt["payment_id"], []).append(attempt)
        known = {(e["object_id"], e["object_seq"]) for e in before["events"]}
        numbers: dict[str, list[int]] = {}
        for event in self.state["events"]:
            numbers.setdefault(event["object_id"], []).append(event["object_seq"])
            if (event["object_id"], event["object_seq"]) in known:
                continue
            self._check_event(event, rows, attempts)
        for found in numbers.values():
            if found != list(range(1, len(found) + 1)):
                self.wrong(f"events are numbered {found}")

    def _check_event(self, event: Row, payments: dict[str, Row], attempts: dict[str, list[Row]]) -> None:
        """An event tells what was committed with it, no more and nothing else."""
        data, reported, stored = event["data"], None, None
        if data["object"] == "dispute":
            dispute = next((d for d in self.state["disputes"] if d["id"] == event["object_id"]), None)
            reported = (data["state"], data["amount_taken_minor"], data["fee_minor"])
            stored = dispute and (dispute["state"], dispute["taken_minor"], dispute["fee_minor"])
        elif data["object"] == "refund":
            refund = next((r for r in self.state["refunds"] if r["id"] == event["object_id"]), None)
            reported = (data["state"], data["route"], data["amount_minor"])
            stored = refund and (refund["state"], refund["route"], refund["amount_minor"])
        else:
            payment = payments.get(event["object_id"])
            reported = (data["status"], data["amount_captured_minor"], data["amount_refunded_minor"])
            reported += tuple((a["state"], a["surplus"]) for a in data["attempts"])
            if payment is not None:
                stored = (payment["status"], payment["amount_captured_minor"], payment["amount_refunded_minor"])
                stored += tuple((a["state"], a["surplus"]) for a in attempts.get(payment["id"], []))
        if reported != stored:
            self.wrong(f"{event['type']} tells {reported}, committed is {stored}")

    def _refunds(self, before: dict[str, list[Row]]) -> None:
        """What goes back is never more than what was captured, and a refund that has ended stays as it is."""
        for payment in self.state["payments"]:
            going = [
                r["amount_minor"]
                for r in self.state["refunds"]
                if r["payment_id"] == payment["id"] and r["kind"] == "refund" and r["state"] not in NO_MONEY
            ]
            noted = payment["amount_refunded_minor"] + payment["amount_refunding_minor"]
            if sum(going) > payment["amount_captured_minor"] or noted != sum(going):
                self.wrong(f"refunds of {going} of a captured {payment['amount_captured_minor']}, noted as {noted}")
        now = {r["id"]: r for r in self.state["refunds"]}
        for refund in before["refunds"]:
            after = now[refund["id"]]
            came_back = refund["state"] == "succeeded" and self._number(refund) in self.channel.returned
            if refund["state"] in ("succeeded", *NO_MONEY) and after["state"] != refund["state"] and not came_back:
                self.wrong(f"a refund went from {refund['state']} to {after['state']}")
        gave = self.channel.gave().keys() | self.channel.returned.keys()
        for refund in self.state["refunds"]:
            if refund["state"] == "succeeded" and self._number(refund) not in gave:
                self.wrong("a refund has succeeded, and the channel has given nothing back")
            if (refund["state"] in OPEN_REFUNDS) != (refund["next_query_at"] is not None):
                self.wrong(f"a refund is {refund['state']} with next_query_at {refund['next_query_at']}")

    def _disputes(self, before: dict[str, list[Row]]) -> None:
        """A dispute is as the channel has once stated it, and what it takes is not given back as well."""
        for dispute in self.state["disputes"]:
            stated = [
                (report.state.value, report.taken_minor, report.fee_minor)
                for report in self.channel.disputes[dispute["dispute_no"]].statements
            ]
            if (dispute["state"], dispute["taken_minor"], dispute["fee_minor"]) not in stated:
                self.wrong(
                    f"a dispute is {dispute['state']} with {dispute['taken_minor']}, the channel stated {stated}"
                )
        ordered = {r["id"] for r in before["refunds"]}
        disputed = {p["id"]: p["amount_disputed_minor"] for p in before["payments"]}
        for payment in self.state["payments"]:
            new = [
                r for r in self.state["refunds"]
                if r["payment_id"] == payment["id"] and r["kind"] == "refund" and r["id"] not in ordered
            ]  # fmt: skip
            going = payment["amount_refunded_minor"] + payment["amount_refunding_minor"]
            taken = disputed.get(payment["id"], 0)
            if new and not any(r["portal_no"] for r in new) and going + taken > payment["amount_captured_minor"]:
                self.wrong(f"refunds of {going} beside a dispute of {taken} of {payment['amount_captured_minor']}")

    def _number(self, refund: Row) -> str:
        return refund["portal_no"] or encode(REFUND_NUMBERS.get(refund["route"], "rpo"), UUID(refund["id"]))

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
            if attempt["state"] in ("failed", "closed") and self.channel.is_open(number):
                self.wrong(f"an attempt is {attempt['state']}, and the payer can still pay")
            if (attempt["state"] in OPEN_ATTEMPTS) != (attempt["next_query_at"] is not None):
                self.wrong(f"an attempt is {attempt['state']} with next_query_at {attempt['next_query_at']}")

    # At the end

    def rest(self, transfers: list[Any], balances: list[Any]) -> None:
        """Everything is final, and each unit of money that moved outside is in the books once."""
        for payment in self.state["payments"]:
            if payment["status"] not in FINAL_PAYMENTS:
                self.wrong(f"a payment is still {payment['status']}")
        for attempt in self.state["attempts"]:
            if attempt["state"] in OPEN_ATTEMPTS:
                self.wrong(f"an attempt is still {attempt['state']}")
        for refund in self.state["refunds"]:
            if refund["state"] in OPEN_REFUNDS:
                self.wrong(f"a {refund['kind']} is still {refund['state']}")
            elif refund["kind"] == "surplus" and refund["state"] == "failed" and not self._refused_for_good(refund):
                self.wrong("a surplus is kept, and the channel would take it back")
        moves = [t for t in transfers if not t["flags"] & (PENDING | VOID)]
        self._disputed_money([t for t in moves if t["code"] in DISPUTE_CODES])
        moves = [t for t in moves if t["code"] not in DISPUTE_CODES]
        self._money_in(moves)
        self._money_out(moves)
        self._balances(balances)
        self._successes_reported()

    def _money_in(self, moves: list[Any]) -> None:
        attempts = {encode("att", UUID(a["id"])): a for a in self.state["attempts"]}
        booked = {UUID(str(t["id"])): t for t in moves}
        receivable = self.account(1101, self.account_id)
        for number, taken in self.channel.took().items():
            attempt = attempts.get(number)
            if attempt is None or attempt["state"] != "succeeded":
                self.wrong(f"the channel took {taken} for an attempt that is {attempt and attempt['state']}")
                continue
            transfer = booked.get(UUID(int=success_id(UUID(attempt["payment_id"]), UUID(attempt["id"]))))
            to = self.account(2202, self.account_id) if attempt["surplus"] else self.account(2001, self.merchant_id)
            if transfer is None or (
                [transfer["amount"]] != taken
                or (transfer["debit_account_id"], transfer["credit_account_id"]) != (receivable, to)
            ):
                self.wrong(f"the channel took {taken}, booked is {transfer}")
            self._sums(attempt, self.channel.orders[number])
        taken = sum(sum(amounts) for amounts in self.channel.took().values())
        debited = sum(t["amount"] for t in moves if t["debit_account_id"] == receivable)
        returned = self._returned()
        if debited != taken + returned:
            self.wrong(f"the channel took {taken} and has {returned} back, the books hold {debited}")
        for payment in self.state["payments"]:
            counted = [
                a for a in self.state["attempts"]
                if a["payment_id"] == payment["id"] and a["state"] == "succeeded" and not a["surplus"]
            ]  # fmt: skip
            if payment["amount_captured_minor"] != sum(a["amount_captured_minor"] for a in counted):
                self.wrong(f"a payment says that {payment['amount_captured_minor']} was captured")

    def _sums(self, attempt: Row, order: Order) -> None:
        """All three sums of a success are the channel's."""
        names = ("amount_paid_minor", "amount_settled_minor")
        captured = attempt["amount_captured_minor"]
        stored = [captured, *(captured if attempt[name] is None else attempt[name] for name in names)]
        true = [sum(order.taken), order.paid_minor, order.settled_minor]
        if stored != true:
            self.wrong(f"ordered, paid and settled are {true} at the channel, stored is {stored}")

    def _parts(self, refund: Row) -> None:
        """The parts of a success are the channel's; where it states none, they are in proportion."""
        number, amount = self._number(refund), refund["amount_minor"]
        stored = [amount if refund[name] is None else refund[name] for name in ("paid_minor", "settled_minor")]
        true = list(self.channel.gave_parts(number))
        attempt = next(a for a in self.state["attempts"] if a["id"] == refund["attempt_id"])
        order = self.channel.orders[encode("att", UUID(attempt["id"]))]
        if self.channel.states_parts or refund["kind"] == "surplus":
            is_right = stored == true
        else:
            ideal = [sum_ * amount / sum(order.taken) for sum_ in (order.paid_minor, order.settled_minor)]
            is_right = all(abs(part - of) <= ROUNDING_MAX for part, of in zip(stored, ideal, strict=True))
        if not is_right:
            self.wrong(f"of a refund of {amount} the parts are {true} at the channel, stored is {stored}")

    def _cost(self, refund: Row) -> int:
        """What a refund takes from the settlement, as far as it can be known here."""
        return int(refund["amount_minor"] if refund["settled_minor"] is None else refund["settled_minor"])

    def _borne(self) -> int:
        """The discounts that the channel does not settle."""
        return sum(sum(order.taken) - order.settled_minor for order in self.channel.orders.values() if order.taken)

    def _money_out(self, moves: list[Any]) -> None:
        unbooked = {item["number"] for item in self.state["waiting"] if item["reason"] == POOR}
        gave = {number: amount for number, amount in self.channel.gave().items() if number not in unbooked}
        succeeded = {self._number(r): r["amount_minor"] for r in self.state["refunds"] if r["state"] == "succeeded"}
        if gave != succeeded:
            self.wrong(f"the channel gave {gave} back, we know of {succeeded}")
        receivable = self.account(1101, self.account_id)
        credited = sum(t["amount"] for t in moves if t["credit_account_id"] == receivable)
        returned, borne, rows = self._returned(), self._borne(), self.state["refunds"]
        cost = sum(self._cost(refund) for refund in rows if refund["state"] == "succeeded")
        if credited != cost + returned + borne:
            self.wrong(f"the channel gave {cost} and {returned} back, and keeps {borne}, the books hold {credited}")
        for refund in rows:
            if refund["state"] == "succeeded" and self._number(refund) in gave:
                self._parts(refund)
        surplus = {a["id"] for a in self.state["attempts"] if a["surplus"]}
        refunded = [r["attempt_id"] for r in self.state["refunds"] if r["kind"] == "surplus"]
        if sorted(refunded) != sorted(surplus):
            self.wrong(f"{len(surplus)} surplus successes have {len(refunded)} refunds")

    def _disputed_money(self, moves: list[Any]) -> None:
        """Each dispute ends here as at the channel; what it has taken is booked, and held as far as there is money."""
        rows = {dispute["dispute_no"]: dispute for dispute in self.state["disputes"]}
        for number, disputed in self.channel.disputes.items():
            last, row = disputed.last, rows.get(number)
            stored = row and (row["state"], row["taken_minor"], row["fee_minor"])
            if stored != (last.state.value, last.taken_minor, last.fee_minor):
                self.wrong(f"a dispute ended {last.state} with {last.taken_minor} taken, stored is {stored}")
        cost = sum(d.last.taken_minor + d.last.fee_minor for d in self.channel.disputes.values())
        held = sum(row["held_minor"] for row in rows.values())
        ended = sum(row["held_minor"] for row in rows.values() if row["state"] not in OPEN_DISPUTES)
        for code, owner, expected in (
            (1101, self.account_id, -cost),
            (1102, self.account_id, cost - ended),
            (2001, self.merchant_id, held),
            (2204, self.merchant_id, ended - held),
        ):
            account = self.account(code, owner)
            booked = sum(
                t["amount"] * ((t["debit_account_id"] == account) - (t["credit_account_id"] == account)) for t in moves
            )
            if booked != expected:
                self.wrong(f"disputes have cost {cost}, {held} held, {ended} for good; {code} has {booked}")

    def _returned(self) -> int:
        """What came back after its success was booked here; a refund may have come back before that."""
        booked = {self._number(refund): refund for refund in self.state["refunds"] if refund["late_failure_at"]}
        parts = {number: cost for number, cost in self.channel.returned.items() if number in booked}
        return sum(cost if self.channel.states_parts else self._cost(booked[number]) for number, cost in parts.items())

    def _refused_for_good(self, refund: Row) -> bool:
        """Whether a person has to act, and has been told."""
        known = self.channel.refunds.get(self._number(refund))
        reported = any(
            e["type"] == "refund.needs_attention" and e["object_id"] == refund["id"] for e in self.state["events"]
        )
        return known is not None and known.state == "failed" and not known.retryable and reported

    def _balances(self, balances: list[Any]) -> None:
        empty = {self.account(code, self.account_id) for code in (2201, 2202, 2203, 2301)}
        kept = sum(self._cost(r) for r in self.state["refunds"] if r["kind"] == "surplus" and r["state"] == "failed")
        # Where a channel rounds a part of a refund up, what it has taken above what was held waits for a person.
        rounded = ROUNDING_MAX * len(self.state["refunds"]) if self._borne() else 0
        for row in balances:
            if row["debits_pending"] or row["credits_pending"]:
                self.wrong("money is still reserved")
            left = kept if row["id"] == self.account(2202, self.account_id) else 0
            owed = row["credits_posted"] - row["debits_posted"] - left
            least = -rounded if row["id"] == self.account(2301, self.account_id) else 0
            if row["id"] in empty and not least <= owed <= 0:
                self.wrong("an account of money in transit is not at zero")

    def account(self, code: int, owner: UUID) -> UUID:
        return UUID(int=account_id(code, owner, "CNY"))

    def accounts(self) -> list[UUID]:
        own = [self.account(code, self.account_id) for code in (1101, 1102, 2201, 2202, 2203, 2301)]
        return [*own, *(self.account(code, self.merchant_id) for code in (2001, 2002, 2003, 2204))]

    def _successes_reported(self) -> None:
        reported = Counter((e["object_id"], e["type"]) for e in self.state["events"])
        for payment in self.state["payments"]:
            surplus = sum(a["payment_id"] == payment["id"] and a["surplus"] for a in self.state["attempts"])
            for kind, expected in {
                "payment.succeeded": int(payment["status"] == "succeeded"),
                "payment.closed": int(payment["status"] == "closed"),
                "payment.surplus_received": surplus,
                "payment.surplus_refunded": sum(
                    r["payment_id"] == payment["id"]
                    and r["kind"] == "surplus"
                    and (r["state"] == "succeeded" or r["late_failure_at"] is not None)
                    for r in self.state["refunds"]
                ),
            }.items():
                if reported[payment["id"], kind] != expected:
                    self.wrong(f"{kind} was told {reported[payment['id'], kind]} times instead of {expected}")


def _earliest(times: list[str | None]) -> datetime | None:
    return min((datetime.fromisoformat(time) for time in times if time), default=None)
