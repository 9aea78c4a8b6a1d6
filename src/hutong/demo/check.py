"""What must hold after the demonstration, checked against the channel's own log, the books and the webhooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hutong import db, ids, ledger, money
from hutong.demo.payers import plain
from hutong.demo.receiver import Receiver
from hutong.demo.scenarios import Ended


@dataclass(slots=True)
class Report:
    """The demonstration in figures. `broken` names every invariant that does not hold; `cashier` is the page of one
    more payment, left unpaid to be looked at."""

    payments: int
    succeeded: int
    closed: int
    unknown: int
    webhooks_verified: int
    ledger_transfers: int
    trial_balance: dict[str, dict[str, int]]
    seconds: float
    channels: dict[str, int] = field(default_factory=dict)
    stories: dict[str, int] = field(default_factory=dict)
    repeated_calls: int = 0
    cashier: str = ""
    broken: list[str] = field(default_factory=list)


async def check(
    tx: db.Tx, ended: Sequence[Ended], receiver: Receiver, truth: Sequence[dict[str, Any]], *, seconds: float
) -> Report:
    """Look at everything that can be looked at.

    Args:
        truth: The sandbox's log of what the channel did.
    """
    succeeded = [e for e in ended if e.payment["status"] == "succeeded"]
    closed = [e for e in ended if e.payment["status"] == "closed"]
    transfers = await _transfers(tx, ended)
    report = Report(
        payments=len(ended),
        succeeded=len(succeeded),
        closed=len(closed),
        unknown=len(ended) - len(succeeded) - len(closed),
        webhooks_verified=len(receiver.events),
        ledger_transfers=len(transfers),
        trial_balance=await _trial_balance(tx),
        seconds=round(seconds, 2),
        channels=dict(Counter(e.channel for e in succeeded)),
        stories=dict(Counter(e.story.value for e in ended)),
    )
    if report.unknown:
        report.broken.append("payments are neither succeeded nor closed")
    _check_books(report, succeeded, transfers)
    _check_truth(report, ended, truth)
    _check_webhooks(report, succeeded, closed, receiver)
    return report


async def _transfers(tx: db.Tx, ended: Sequence[Ended]) -> dict[int, ledger.Transfer]:
    """The transfers of these payments: an attempt's id is its transfer's, a payment's id is its fee's."""
    wanted = [ids.decode("pay", e.payment["id"]).int for e in ended]
    wanted += [ids.decode("att", a["id"]).int for e in ended for a in e.payment["attempts"]]
    found: dict[int, ledger.Transfer] = {}
    books = ledger.Ledger(tx, clock=lambda: 0)
    for start in range(0, len(wanted), 1000):
        for transfer in await books.lookup_transfers(wanted[start : start + 1000]):
            found[transfer.id] = transfer
    return found


async def _trial_balance(tx: db.Tx) -> dict[str, dict[str, int]]:
    return {
        money.currency_of_ledger(row["ledger"]).code: {
            "debits": int(row["debits_posted"]),
            "credits": int(row["credits_posted"]),
        }
        for row in await ledger.trial_balance(tx)
    }


def _check_books(report: Report, succeeded: Sequence[Ended], transfers: dict[int, ledger.Transfer]) -> None:
    for code, row in report.trial_balance.items():
        if row["debits"] != row["credits"]:
            report.broken.append(f"the trial balance of {code} does not balance")
    for e in succeeded:
        counted = [a for a in e.payment["attempts"] if a["state"] == "succeeded" and not a["surplus"]]
        booked = [transfers.get(ids.decode("att", a["id"]).int) for a in counted]
        if len(booked) != 1 or booked[0] is None or booked[0].amount != e.payment["amount_minor"]:
            report.broken.append(f"{e.payment['id']} is not booked once with its amount")


def _check_truth(report: Report, ended: Sequence[Ended], truth: Sequence[dict[str, Any]]) -> None:
    """Every success at the channel is credited once, and nothing is credited that the channel does not know."""
    ours = {plain(a["id"]) for e in ended for a in e.payment["attempts"]}
    paid = [plain(row["order_no"]) for row in truth if row["event"] == "paid"]
    taken = Counter(number for number in paid if number in ours)
    credited = {plain(a["id"]) for e in ended for a in e.payment["attempts"] if a["state"] == "succeeded"}
    if set(taken) != credited:
        report.broken.append(f"{len(set(taken) ^ credited)} successes differ between the channel and the books")
    if any(times > 1 for times in taken.values()):
        report.broken.append("the channel took money twice for one order")


def _check_webhooks(report: Report, succeeded: Sequence[Ended], closed: Sequence[Ended], receiver: Receiver) -> None:
    for kind, expected in (("payment.succeeded", succeeded), ("payment.closed", closed)):
        missing = {e.payment["id"] for e in expected} - receiver.seen(kind)
        if missing:
            report.broken.append(f"{len(missing)} webhooks {kind} have not arrived")
    if receiver.refused:
        report.broken.append(f"{receiver.refused} webhooks did not verify")
