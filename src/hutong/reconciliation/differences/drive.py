"""Approved cases whose action asks a channel: a refund of its portal to adopt, a refund of ours that its bill lacks.

The channel is asked outside of a transaction; its answer is recorded by the life cycle, and only then the case ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from hutong import db, payments
from hutong.channels import About, ChannelAnswer, ChannelState, Notification
from hutong.clock import Clock
from hutong.errors import HutongError, NotFound
from hutong.payments import refunds
from hutong.reconciliation.differences import cases, store
from hutong.reconciliation.differences.decisions import release_closed, released_case
from hutong.reconciliation.differences.settle import resolve
from hutong.reconciliation.differences.store import CaseEntry
from hutong.reconciliation.differences.suspense import book
from hutong.reconciliation.model import Difference, DifferenceAction, DifferenceState
from hutong.reconciliation.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_ASKING = (DifferenceAction.ADOPT_REFUND, DifferenceAction.CONFIRM)
_PAGE = 250
_DONE = ""
_LATER = None


async def drive_approved(database: db.Database, lifecycle: payments.Payments, *, clock: Clock) -> int:
    """Bring on the approved cases that ask a channel, and free those whose proposals were closed.

    Effects:
        Asks channels; ends what they confirm. A case that is not confirmed goes back to its owner with the reason. One
        whose channel gives no answer stays, for the next time.

    Returns:
        How many cases have ended.
    """
    await database.run(lambda tx: release_closed(tx, now=clock.now()))
    ended = 0
    async for case in _under_way(database):
        try:
            reason = await _drive(database, lifecycle, case)
        except HutongError as error:
            _log.warning("difference_waits", difference=str(case.difference_id), reason=error.code)
            continue
        if reason is not _LATER:
            ended += await _end(database, case, reason, clock=clock)
    return ended


async def _under_way(database: db.Database) -> AsyncIterator[Difference]:
    """Yield all approved cases that ask a channel, so that those without an answer are in nobody's way."""
    after = UUID(int=0)
    while True:
        async with database.transaction() as tx:
            rows = await sql.differences_under_way.fetch(tx, actions=list(_ASKING), after=after, limit=_PAGE)
        for case in map(store.read, rows):
            yield case
            after = case.difference_id
        if len(rows) < _PAGE:
            return


async def _drive(database: db.Database, lifecycle: payments.Payments, case: Difference) -> str | None:
    """Ask about one case: return nothing to add where it is done, a reason where it is not, None to ask again."""
    if case.action is DifferenceAction.ADOPT_REFUND:
        return await _adopt(lifecycle, case)
    return await _ask_about_refund(database, lifecycle, case)


async def _adopt(lifecycle: payments.Payments, case: Difference) -> str | None:
    row = case.theirs[0]
    answer = ChannelAnswer(
        ChannelState.SUCCEEDED,
        amount_minor=abs(row["ordered"]),
        currency=row["currency"],
        channel_order_no=row["channel_no"] or None,
    )
    number = row["key"] or row["channel_no"]
    if not row["original_key"]:
        return "the bill does not name the order that was refunded"
    notification = Notification(number, answer, About.REFUND, order_no=row["original_key"])
    outcome = await lifecycle.notifications.take_portal(case.account_id, notification, source=payments.Source.BILL)
    return _DONE if outcome.value in ("adopted", "known") else f"the refund cannot be adopted: {outcome.value}"


async def _ask_about_refund(database: db.Database, lifecycle: payments.Payments, case: Difference) -> str | None:
    """Ask about a refund that has succeeded here and that the bill lacks; only the channel's answer overturns it."""
    number = case.ours[0]["key"]
    refund = await _find(database, number)
    if refund is None:
        return "no refund has the number"
    if refund.state is refunds.RefundState.SUCCEEDED:
        claimed = Notification(number, ChannelAnswer(ChannelState.FAILED, currency=refund.currency), About.REFUND)
        await lifecycle.record_notification(refund.channel, case.account_id, claimed, source=payments.Source.BILL)
    else:
        await lifecycle.refunds.resolve(refund.refund_id)
    refund = await _find(database, number)
    if refund is None or refund.state is refunds.RefundState.SUCCEEDED:
        return "the channel confirms the refund; wait for its bill, or claim"
    return _DONE if refund.state in (refunds.RefundState.FAILED, refunds.RefundState.SUPERSEDED) else _LATER


async def _find(database: db.Database, number: str) -> refunds.Refund | None:
    try:
        _, refund_id = refunds.read_number(number)
    except NotFound:
        return None
    async with database.transaction() as tx:
        return (await refunds.find_refunds(tx, [refund_id])).get(refund_id)


async def _end(database: db.Database, seen: Difference, reason: str | None, *, clock: Clock) -> int:
    async def work(tx: db.Tx) -> int:
        now = clock.now()
        case = (await cases.lock(tx, [seen.difference_id]))[seen.difference_id]
        if case.state is not DifferenceState.APPROVED or case.content != seen.content:
            return 0  # a run has matched it, or has stated it differently, in the meantime
        if reason:
            await store.advance(tx, [released_case(case)])
            await store.write_history(tx, [CaseEntry(case.difference_id, "refused", reason=reason)], now=now)
            return 0
        booked = resolve(case, now=now)
        await store.advance(tx, [booked.case])
        entry = CaseEntry(
            case.difference_id, "resolved", store.SYSTEM, case.reason, -case.suspense_minor, booked.voucher
        )
        await store.write_history(tx, [entry], now=now)
        await book(tx, [booked.chain], now=now)
        return 1

    return await database.run(work)
