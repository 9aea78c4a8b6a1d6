"""The cashier's `Checkout` on the payments' life cycle."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import urlencode
from uuid import UUID

from hutong import db, merchants, payments
from hutong.cashier.model import CheckoutStatus, CheckoutView
from hutong.channels import ActionKind, Device, PayerAction
from hutong.clock import Clock
from hutong.errors import NotFound


class PaymentCheckout:
    """Shows payments to the holders of their links, and starts attempts for them.

    Args:
        payer_text: Gives the text for the payer of an attempt, by language.
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
        sandbox_url: str | None = None,
    ) -> None:
        self._database = database
        self._lifecycle = lifecycle
        self._directory = directory
        self._clock = clock
        self._payer_text = payer_text
        self._sandbox_url = sandbox_url

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
        action = None
        if running is not None and running.action_kind is not None and payment.close_requested_at is None:
            action = PayerAction(ActionKind(running.action_kind), running.action_content or "")
        failure = None
        if last is not None and last.state is payments.AttemptState.FAILED:
            failure = self._payer_text(last) or {}
        offered = await self._lifecycle.route_selector.in_cashier(payment, device, preferred=merchant.methods)
        return CheckoutView(
            payment_id=payment.payment_id,
            merchant_name=merchant.name,
            subject=payment.subject,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            status=_status(payment, last),
            expires_at=payment.expires_at,
            methods=offered.names,
            wallets=offered.wallets,
            open_in_browser=offered.in_browser,
            server_time=self._clock.now(),
            method=running.method if running else None,
            action=action,
            action_expires_at=running.expires_at if running else None,
            failure=failure,
            return_url=payment.return_url,
            sandbox_payer_url=self._payer_url(action),
        )

    def _payer_url(self, action: PayerAction | None) -> str | None:
        if self._sandbox_url is None or action is None or action.kind is not ActionKind.QR_CODE:
            return None
        return f"{self._sandbox_url}/payer?{urlencode({'code_url': action.content})}"


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
