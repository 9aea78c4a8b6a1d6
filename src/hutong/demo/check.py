"""The invariants after the demonstration, checked against the channels' logs, the books and the webhooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hutong import db, ids, ledger, money, payments
from hutong.demo.payers import WECHAT, alphanumeric
from hutong.demo.receiver import Receiver
from hutong.demo.reconciliation import ReconciledDays
from hutong.demo.scenarios import FinishedPayment, Scenario


@dataclass(slots=True)
class Report:
    """The demonstration in figures.

    Attributes:
        broken: The invariants that do not hold.
    """

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
    reconciliation: ReconciledDays | None = None
    broken: list[str] = field(default_factory=list)


async def check(
    tx: db.Tx,
    finished: Sequence[FinishedPayment],
    receiver: Receiver,
    channel_log: Sequence[dict[str, Any]],
    *,
    seconds: float,
) -> Report:
    """Check every invariant, and count.

    Args:
        channel_log: The sandbox's log of what the channels did.
    """
    succeeded = [e for e in finished if e.payment["status"] == "succeeded"]
    closed = [e for e in finished if e.payment["status"] == "closed"]
    transfers = await _find_transfers(tx, finished)
    report = Report(
        payments=len(finished),
        succeeded=len(succeeded),
        closed=len(closed),
        unknown=len(finished) - len(succeeded) - len(closed),
        webhooks_verified=len(receiver.events),
        ledger_transfers=len(transfers),
        trial_balance=await _trial_balance(tx),
        seconds=round(seconds, 2),
        channels=dict(Counter(e.channel for e in succeeded)),
        stories=dict(Counter(e.scenario.value for e in finished)),
    )
    if report.unknown:
        report.broken.append("payments are neither succeeded nor closed")
    _check_books(report, succeeded, transfers)
    _check_channel_log(report, finished, channel_log)
    _check_webhooks(report, finished, receiver)
    return report


async def _find_transfers(tx: db.Tx, finished: Sequence[FinishedPayment]) -> dict[int, ledger.Transfer]:
    """Find the transfers of these payments: a success has an id of its own, a fee has that of its payment."""
    transfer_ids = [ids.decode("pay", e.payment["id"]).int for e in finished]
    transfer_ids += [_success_id(e.payment, a) for e in finished for a in e.payment["attempts"]]
    transfers: dict[int, ledger.Transfer] = {}
    books = ledger.Ledger(tx, clock=lambda: 0)
    for start in range(0, len(transfer_ids), 1000):
        for transfer in await books.lookup_transfers(transfer_ids[start : start + 1000]):
            transfers[transfer.id] = transfer
    return transfers


def _success_id(payment: Mapping[str, Any], attempt: Mapping[str, Any]) -> int:
    return payments.success_id(ids.decode("pay", payment["id"]), ids.decode("att", attempt["id"]))


async def _trial_balance(tx: db.Tx) -> dict[str, dict[str, int]]:
    return {
        money.currency_of_ledger(row["ledger"]).code: {
            "debits": int(row["debits_posted"]),
            "credits": int(row["credits_posted"]),
        }
        for row in await ledger.trial_balance(tx)
    }


def _check_books(report: Report, succeeded: Sequence[FinishedPayment], transfers: dict[int, ledger.Transfer]) -> None:
    for code, row in report.trial_balance.items():
        if row["debits"] != row["credits"]:
            report.broken.append(f"the trial balance of {code} does not balance")
    for e in succeeded:
        counted = [a for a in e.payment["attempts"] if a["state"] == "succeeded" and not a["surplus"]]
        booked = [transfers.get(_success_id(e.payment, a)) for a in counted]
        if len(booked) != 1 or booked[0] is None or booked[0].amount != e.payment["amount_minor"]:
            report.broken.append(f"{e.payment['id']} is not booked once with its amount")


def _check_channel_log(
    report: Report, finished: Sequence[FinishedPayment], channel_log: Sequence[dict[str, Any]]
) -> None:
    """Check that every success at a channel is credited once, and nothing else, and that what is left there of each
    payment after its refunds is what is left of it here."""
    ours = {alphanumeric(a["id"]) for e in finished for a in e.payment["attempts"]}
    paid = [alphanumeric(row["order_no"]) for row in channel_log if row["event"] == "paid"]
    taken = Counter(number for number in paid if number in ours)
    credited = {alphanumeric(a["id"]) for e in finished for a in e.payment["attempts"] if a["state"] == "succeeded"}
    if set(taken) != credited:
        report.broken.append(f"{len(set(taken) ^ credited)} successes differ between the channel and the books")
    if any(times > 1 for times in taken.values()):
        report.broken.append("the channel took money twice for one order")
    kept = _kept_at_channels(channel_log)
    for e in finished:
        numbers = [alphanumeric(a["id"]) for a in e.payment["attempts"] if a["state"] == "succeeded"]
        left = e.payment["amount_minor"] - e.payment["amount_refunded_minor"] - e.payment["amount_disputed_minor"]
        if [taken[number] for number in numbers] == [1] and kept[numbers[0]] != left:
            report.broken.append(f"{e.payment['id']} has {kept[numbers[0]]} left at its channel, and {left} in Hutong")


_SIGNS = {"paid": 1, "refunded": -1, "refunded_in_portal": -1, "refund_returned": 1}


def _kept_at_channels(channel_log: Sequence[dict[str, Any]]) -> Counter[str]:
    """Return what is left of each order's money by the channels' logs."""
    kept: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for row in channel_log:
        number = alphanumeric(row["order_no"] or "")
        if row["event"] in _SIGNS:
            kept[number] += _SIGNS[row["event"]] * row["amount_minor"]
        elif "taken_minor" in row:  # of a dispute: what is taken by now
            kept[number] += taken[row["number"]] - row["taken_minor"]
            taken[row["number"]] = row["taken_minor"]
    return kept


_NOTIFIED = {
    Scenario.PORTAL_REFUND: "refund.succeeded",
    Scenario.LATE_FAILURE: "refund.failed_after_success",
    Scenario.DISPUTED: "dispute.won",
}
"""What a merchant must be notified of besides the end of the payment."""
_ENDS = ("succeeded", "closed")


def missing_webhooks(finished: Sequence[FinishedPayment], receiver: Receiver) -> Counter[str]:
    """Count the webhooks that have not arrived, by type."""
    data = ((event["type"], event["data"]) for event in receiver.events.values())
    arrived = {(kind, about.get("payment_id", about["id"])) for kind, about in data}
    ends = {(f"payment.{e.payment['status']}", e.payment["id"]) for e in finished if e.payment["status"] in _ENDS}
    notified = {
        (_NOTIFIED[e.scenario], e.payment["id"])
        for e in finished
        if e.scenario in _NOTIFIED and e.payment["status"] == "succeeded" and _is_played(e)
    }
    return Counter(kind for kind, _ in (ends | notified) - arrived)


def _is_played(e: FinishedPayment) -> bool:
    return e.scenario is not Scenario.DISPUTED or e.channel != WECHAT.channel  # whose complaints end without a winner


def _check_webhooks(report: Report, finished: Sequence[FinishedPayment], receiver: Receiver) -> None:
    for kind, missing in missing_webhooks(finished, receiver).items():
        report.broken.append(f"{missing} webhooks {kind} have not arrived")
    if receiver.refused:
        report.broken.append(f"{receiver.refused} webhooks did not verify")
