"""Choosing the channel account that a try goes through."""

from __future__ import annotations

from hutong import channels, ids
from hutong.payments import errors
from hutong.payments.model import NewAttempt


class Choice:
    """What may be paid by which method now, and through which account.

    Args:
        accounts: Gives ready channel adapters.
        sandbox: Play: sandbox accounts are used and no others. Otherwise they are never used, so that a simulated
            channel cannot be taken for a real one.
    """

    def __init__(self, accounts: channels.Accounts, *, ids: ids.Ids, sandbox: bool) -> None:
        self._accounts = accounts
        self._ids = ids
        self._sandbox = sandbox

    async def choose(self, method: str, amount_minor: int, currency: str, *, payer_ip: str | None = None) -> NewAttempt:
        """A try by `method` at the first account that takes it.

        Errors:
            NoRoute: none does.
        """
        for offer in await self._offers(amount_minor, currency):
            if method in offer.capabilities.methods:
                return NewAttempt(self._ids.new(), offer.account_id, offer.capabilities.channel, method, payer_ip)
        raise errors.NoRoute("no channel takes this method, currency and amount", param="method")

    async def methods(self, amount_minor: int, currency: str) -> list[str]:
        """The methods by which such an amount may be paid now."""
        offers = await self._offers(amount_minor, currency)
        return sorted({method for offer in offers for method in offer.capabilities.methods})

    async def _offers(self, amount_minor: int, currency: str) -> list[channels.Offer]:
        return [
            offer
            for offer in await self._accounts.offers()
            if offer.sandbox is self._sandbox
            and currency in offer.capabilities.currencies
            and offer.capabilities.amount_minor_min <= amount_minor <= offer.capabilities.amount_minor_max
        ]
