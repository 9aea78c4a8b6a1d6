"""Starting an attempt for a payment, also in the place of another one that is still open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hutong import channels, db, ids
from hutong.clock import Clock
from hutong.merchants import Switching
from hutong.payments import errors
from hutong.payments.attempt_lifecycle import AttemptLifecycle
from hutong.payments.attempts import StartAttempt, StartOutcome, StartResult
from hutong.payments.close import end_attempts
from hutong.payments.model import Attempt, AttemptState, CaptureMethod, Payment
from hutong.payments.route_selection import CLIENT_IP, RouteRequest, RouteSelector
from hutong.payments.store import find
from hutong.payments.switching import may_leave, wait_for_end
from hutong.payments.transactions import PaymentTransactions
from hutong.telemetry import get_logger

_RENUMBERINGS = 3
"""How often an attempt is numbered again because others of the same payment came and went meanwhile."""
_log = get_logger(__name__)


class AttemptStarts:
    """Starts attempts.

    Args:
        switching: When an order that is still open may be left for another one.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        transactions: PaymentTransactions,
        attempts: AttemptLifecycle,
        route_selector: RouteSelector,
        *,
        clock: Clock,
        switching: Switching,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._transactions = transactions
        self._attempts = attempts
        self._route_selector = route_selector
        self._clock = clock
        self._switching = switching

    async def start(
        self,
        payment: Payment,
        method: str,
        *,
        payer_ip: str | None = None,
        payer: Mapping[str, str] | None = None,
        return_url: str | None = None,
        in_cashier: bool = False,
        switching: Switching | None = None,
        identified_by: UUID | None = None,
    ) -> Payment:
        """Start an attempt by `method`. One by another method is closed at its channel first, where that is possible.

        An open order that cannot be closed and that nobody has opened is left behind, if the rule allows it.

        Args:
            payer: The payer's details that the method requires.
            return_url: Where the payer's browser goes afterwards; by default to the cashier.
            in_cashier: Whether the cashier asks, which knows the payer's address, and offers a new code once an order
                of a short life is over.
            switching: The merchant's rule; None takes the installation's.
            identified_by: As `RouteRequest.identified_by`.

        Repeat:
            While such an attempt is open and payable, it is the one that is returned.

        Errors:
            PaymentNotPayable, AttemptInProgress, MethodUnknown, NoRoute, PayerDetailMissing, ManualCaptureNotOffered.
        """
        request = RouteRequest(
            method,
            payment.amount_minor,
            payment.currency,
            payer_ip=payer_ip,
            payer={CLIENT_IP: payer_ip, **(payer or {})} if in_cashier and payer_ip is not None else payer,
            return_url=return_url or self._transactions.documents.checkout_url(payment),
            capture_method=payment.capture_method,
            merchant_id=payment.merchant_id,
            merchant_order_no=payment.merchant_order_no,
            fee_ppm=payment.fee_ppm,
            payment_id=payment.payment_id,
            in_cashier=in_cashier,
            identified_by=identified_by,
        )
        result = await self._start(payment, request)
        if result.outcome is StartOutcome.OTHER_RUNNING:
            payment, leaving = await self._make_room(result.payment, switching or self._switching)
            result = await self._start(payment, request, leaving)
        if result.outcome is StartOutcome.NOT_PAYABLE:
            raise errors.PaymentNotPayable("the payment has succeeded, is closed, or is past its expiry")
        if result.outcome in (StartOutcome.OTHER_RUNNING, StartOutcome.SUPERSEDED):
            raise await self._in_progress(result.payment)
        if result.outcome is StartOutcome.STARTED and result.attempt is not None:
            recorded = await self._attempts.submit(result.payment, result.attempt)
            assert recorded.payment is not None, "attempts are never deleted"
            return recorded.payment
        return result.payment

    async def _start(
        self, payment: Payment, request: RouteRequest, leaving: frozenset[UUID] = frozenset()
    ) -> StartResult:
        """Write the intent of an attempt, with the number that comes after those of the payment's other attempts."""
        for _ in range(_RENUMBERINGS):
            numbered = replace(request, previous=[attempt.account_id for attempt in payment.attempts])
            command = StartAttempt(payment.payment_id, await self._route_selector.choose(numbered), leaving)
            result = await self._attempts.starts.submit(command)
            if result.outcome is not StartOutcome.SUPERSEDED:
                break
            payment = result.payment
        return result

    async def _make_room(self, payment: Payment, switching: Switching) -> tuple[Payment, frozenset[UUID]]:
        """Request the end of a payment's open attempts at their channels, if none of them stands in the way for sure.

        Returns:
            The payment afterwards, and those of its open attempts that may be left open.
        """
        running = payment.open_attempts
        methods = {attempt.attempt_id: await self._method(attempt) for attempt in running}
        leaves = switching is Switching.PERMISSIVE and self._database.catching_up_since is None
        for attempt in running:
            method = methods[attempt.attempt_id]
            if attempt.state is AttemptState.AUTHORIZED or method is None:
                return payment, frozenset()
            is_left = leaves and payment.capture_method is CaptureMethod.AUTOMATIC
            is_over = attempt.expires_at is not None and attempt.expires_at <= self._clock.now()
            if not (method.closable or is_left or is_over):
                return payment, frozenset()
        now = self._clock.now()
        await self._database.run(lambda tx: end_attempts(tx, running, now=now))
        answers = await asyncio.gather(*(self._ask(attempt) for attempt in running))
        async with self._database.transaction() as tx:
            payment = (await find(tx, [payment.payment_id]))[payment.payment_id]
        left = [
            attempt.attempt_id
            for attempt, answer in zip(running, answers, strict=True)
            if leaves and may_leave(payment, payment.attempt(attempt.attempt_id), methods[attempt.attempt_id], answer)
        ]
        return payment, frozenset(left)

    async def _ask(self, attempt: Attempt) -> channels.ChannelAnswer | None:
        """Query about an attempt and end it where that is possible; whatever goes wrong, the poller goes on."""
        try:
            return await self._attempts.bring_on(attempt)
        except Exception as error:  # noqa: BLE001 - the other attempts must be ended all the same
            _log.warning("attempt_not_ended", attempt=ids.encode("att", attempt.attempt_id), reason=repr(error))
            return None

    async def _method(self, attempt: Attempt) -> channels.PaymentMethod | None:
        return (await self._accounts.get(attempt.account_id)).capabilities.methods.get(attempt.method)

    async def _in_progress(self, payment: Payment) -> errors.AttemptInProgress:
        """Return the error that says which order stands in the way, and for how long."""
        if not payment.open_attempts:
            return errors.AttemptInProgress("other attempts of this payment came and went meanwhile", wait_s=1)
        now, policy = self._clock.now(), self._transactions.policy
        last = payment.open_attempts[-1]
        waits = [wait_for_end(each, await self._method(each), policy, now=now) for each in payment.open_attempts]
        method = await self._method(last)
        known = [-(-wait // timedelta(seconds=1)) for wait in waits if wait is not None]
        wait_s = max(known) if len(known) == len(waits) else None
        until = "its end is proven" if wait_s is None else f"it has ended, {wait_s} seconds from now at the latest"
        return errors.AttemptInProgress(
            f"an order by `{last.method}` can still be paid; pay it, or choose another method once {until}",
            method=last.method,
            wallet=None if method is None else method.wallet_of(last.method),
            wait_s=wait_s,
        )
