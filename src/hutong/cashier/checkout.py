"""The cashier's `Checkout` on the payments' life cycle."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson

from hutong import db, ids, merchants, payments
from hutong.cashier.model import CheckoutStatus, CheckoutView, IdentityAnswer
from hutong.channels import ActionKind, Device, PayerAction
from hutong.clock import Clock
from hutong.errors import NotFound, Unavailable

_DECLINES = frozenset(
    {
        "bank_error", "card_declined", "card_expired", "card_invalid", "failed", "insufficient_funds", "limit_exceeded",
        "payer_not_permitted", "risk_refused", "wrong_password",
    }
)  # fmt: skip
"""Our codes of the refusals of a payer's bank or wallet; the others are faults of the order or of the channel."""


_UNSPECIFIC = "failed"
"""Our code of a failure without a reason, whose text says no more than the page does."""
_REPORTS_KEPT = 10_000


class PaymentCheckout:
    """Shows payments to the holders of their links, and starts attempts for them.

    Args:
        payer_text: Gives the text for the payer of an attempt, by language.
        checkout_url: Gives the address of a payment's page.
        sandbox_url: Where a developer plays the payer; None outside the sandbox.
    """

    def __init__(
        self,
        database: db.Database,
        lifecycle: payments.Payments,
        directory: merchants.Directory,
        clock: Clock,
        *,
        payer_text: Callable[[payments.Attempt], dict[str, str] | None],
        checkout_url: Callable[[payments.Payment], str],
        sandbox_url: str | None = None,
    ) -> None:
        self._database = database
        self._lifecycle = lifecycle
        self._directory = directory
        self._clock = clock
        self._payer_text = payer_text
        self._checkout_url = checkout_url
        self._sandbox_url = sandbox_url
        self._without_method: set[UUID] = set()

    async def view(self, payment_id: UUID, token: str, *, device: Device) -> CheckoutView:
        """Return the view of a payment as last committed."""
        return await self._view(await self._authorized_payment(payment_id, token), device)

    async def pay(
        self, payment_id: UUID, token: str, method: str, *, payer_ip: str | None, device: Device
    ) -> CheckoutView:
        """Start an attempt by this method, or continue with the one that runs."""
        payment = await self._authorized_payment(payment_id, token)
        merchant = await self._directory.merchant(payment.merchant_id)
        started = await self._lifecycle.start(
            payment, method, payer_ip=payer_ip, in_cashier=True, switching=merchant.switching
        )
        return await self._view(started, device)

    async def identify_url(self, payment_id: UUID, token: str, method: str) -> str | None:
        """Return where a channel tells who the payer is, unless an attempt by this method runs already."""
        payment = await self._authorized_payment(payment_id, token)
        if not payment.is_open or any(attempt.method == method for attempt in payment.open_attempts):
            return None
        account_id = await self._lifecycle.identification.account(payment, method)
        if account_id is None:
            return None
        query = urlencode({"token": token, "method": method, "account": ids.encode("acc", account_id)})
        page = self._checkout_url(payment).partition("?")[0]
        return await self._lifecycle.identification.url(
            account_id, method, return_url=f"{page}/identified?{query}", state=_state_of(token)
        )

    async def pay_identified(
        self, payment_id: UUID, token: str, answer: IdentityAnswer, *, payer_ip: str | None
    ) -> None:
        """Start an attempt by the payer behind a code."""
        payment = await self._authorized_payment(payment_id, token)
        if not hmac.compare_digest(answer.state.encode(), _state_of(token).encode()):
            raise NotFound("no payer was sent to be identified")
        account_id = ids.decode("acc", answer.account)
        payer = await self._lifecycle.identification.details(account_id, answer.method, answer.code)
        if payer is None:
            raise Unavailable("the channel does not tell who the payer is")
        merchant = await self._directory.merchant(payment.merchant_id)
        await self._lifecycle.start(
            payment,
            answer.method,
            payer_ip=payer_ip,
            payer=payer,
            in_cashier=True,
            switching=merchant.switching,
            identified_by=account_id,
        )

    async def _authorized_payment(self, payment_id: UUID, token: str) -> payments.Payment:
        payment = await self._lifecycle.find(payment_id)
        if payment is None or not hmac.compare_digest(
            token.encode("utf-8", "replace"), payment.checkout_token.encode()
        ):
            raise NotFound("no payment has this link")
        return payment

    async def _view(self, payment: payments.Payment, device: Device) -> CheckoutView:
        merchant = await self._directory.merchant(payment.merchant_id)
        last = payment.attempts[-1] if payment.attempts else None
        running = last if last is not None and last.is_open and payment.is_open else None
        counted = payment.counted_attempt or payment.authorized_attempt or (None if payment.is_open else last)
        action = None
        if running is not None and running.action_kind is not None and payment.close_requested_at is None:
            action = PayerAction(ActionKind(running.action_kind), running.action_content or "")
        failure, declined = None, False
        if last is not None and last.state is payments.AttemptState.FAILED:
            failure, declined = self._payer_text(last) or {}, last.code in _DECLINES
            if last.code == _UNSPECIFIC:
                failure = {}
        offered = await self._lifecycle.route_selector.in_cashier(payment, device, preferred=merchant.methods)
        status = _status(payment, last)
        if status is CheckoutStatus.REQUIRES_PAYMENT and not (offered.names or offered.in_browser):
            await self._report_no_method(payment)
        return CheckoutView(
            payment_id=payment.payment_id,
            merchant_name=merchant.name,
            subject=payment.subject,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            status=status,
            expires_at=payment.expires_at,
            methods=offered.names,
            wallets=offered.wallets,
            open_in_browser=offered.in_browser,
            server_time=self._clock.now(),
            method=running.method if running else None,
            action=action,
            action_expires_at=running.expires_at if running else None,
            bridge=_bridge(action) if device.is_wallet else None,
            failure=failure,
            declined=declined,
            merchant_order_no=payment.merchant_order_no,
            return_url=_hinted(payment.return_url, payment),
            cancel_url=_hinted(payment.cancel_url or payment.return_url, payment),
            finished_at=payment.closed_at or payment.authorized_at or payment.succeeded_at,
            finished_method=None if counted is None else counted.method,
            close_reason=payment.close_reason,
            logo=merchant.logo,
            color=merchant.color,
            sandbox_payer_url=self._payer_url(action),
        )

    async def _report_no_method(self, payment: payments.Payment) -> None:
        """Notify the merchant, who alone can help this payer; asked once here, though a page asks every second."""
        if payment.payment_id in self._without_method or self._clock.now() >= payment.expires_at:
            return
        if len(self._without_method) >= _REPORTS_KEPT:
            self._without_method.clear()
        await self._lifecycle.report_no_method(payment.payment_id)
        self._without_method.add(payment.payment_id)

    def _payer_url(self, action: PayerAction | None) -> str | None:
        if self._sandbox_url is None or action is None or action.kind is not ActionKind.QR_CODE:
            return None
        return f"{self._sandbox_url}/payer?{urlencode({'code_url': action.content})}"


def _hinted(url: str | None, payment: payments.Payment) -> str | None:
    """Add what a page of the merchant may show to its address: it is no proof of a payment."""
    return url and merchants.return_address(url, ids.encode("pay", payment.payment_id), payment.status.value)


def _bridge(action: PayerAction | None) -> dict[str, Any] | None:
    if action is None or action.kind is not ActionKind.SDK:
        return None
    try:
        parameters = orjson.loads(action.content)
    except orjson.JSONDecodeError:
        return None
    return parameters if isinstance(parameters, dict) else None


def _state_of(token: str) -> str:
    """Return what a channel sends back with a payer, so that only who has the link comes back with a code."""
    return hashlib.sha256(f"identified {token}".encode()).hexdigest()[:32]


def _status(payment: payments.Payment, last: payments.Attempt | None) -> CheckoutStatus:
    """Return the status for the payer, who is done once the money is reserved.

    After the end of the last attempt, the payer chooses again, though an order that was left may be open behind it.
    """
    is_over = last is None or not last.is_open
    if payment.status is payments.PaymentStatus.PROCESSING and is_over and payment.close_requested_at is None:
        return CheckoutStatus.REQUIRES_PAYMENT
    if payment.status is payments.PaymentStatus.REQUIRES_CAPTURE:
        return CheckoutStatus.SUCCEEDED
    return CheckoutStatus(payment.status.value)
