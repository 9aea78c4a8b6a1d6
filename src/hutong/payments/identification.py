"""Payers whom a channel has to identify before an attempt: the account that asks, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from hutong import channels
from hutong.payments.model import Payment
from hutong.payments.route_selection import RouteRequest, RouteSelector


class PayerIdentification:
    """Finds out the details of payers that channels tell by way of the payer's browser, such as an openid."""

    def __init__(self, accounts: channels.Accounts, route_selector: RouteSelector) -> None:
        self._accounts = accounts
        self._route_selector = route_selector

    async def account(self, payment: Payment, method: str) -> UUID | None:
        """Return the account whose channel has to tell who the payer is; None if no account needs that.

        Errors:
            NoRoute: no such account takes the payment.
        """
        offers = await self._route_selector.offers()
        identifying = {
            offer.account_id: offer.capabilities.methods[method].identifies
            for offer in offers
            if method in offer.capabilities.methods and offer.capabilities.methods[method].identifies
        }
        if not identifying:
            return None
        request = RouteRequest(
            method,
            payment.amount_minor,
            payment.currency,
            payer=dict.fromkeys(frozenset().union(*identifying.values()), "?"),
            capture_method=payment.capture_method,
            merchant_id=payment.merchant_id,
            merchant_order_no=payment.merchant_order_no,
            previous=[attempt.account_id for attempt in payment.attempts],
            fee_ppm=payment.fee_ppm,
            payment_id=payment.payment_id,
        )
        others = frozenset(offer.account_id for offer in offers) - identifying.keys()
        return (await self._route_selector.choose(replace(request, tried=others))).account_id

    async def url(self, account_id: UUID, method: str, *, return_url: str, state: str) -> str:
        """Return the address that the payer's browser opens. Arguments as for `Channel.identify_url`."""
        return (await self._accounts.get(account_id)).identify_url(method, return_url, state)

    async def details(self, account_id: UUID, method: str, code: str) -> Mapping[str, str] | None:
        """Return the payer's details behind a code; None if the channel does not tell."""
        return await (await self._accounts.get(account_id)).identify(method, code)
