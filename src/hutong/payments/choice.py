"""Choosing the channel account that a try goes through, and writing down all that its call will say."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import orjson

from hutong import channels, ids
from hutong.errors import ConfigurationError
from hutong.payments import errors
from hutong.payments.model import CaptureMethod, NewAttempt
from hutong.vault import Vault

_IN_THE_CASHIER = (channels.ActionKind.QR_CODE, channels.ActionKind.REDIRECT, channels.ActionKind.FORM)


class Choice:
    """What may be paid by which method now, and through which account.

    Args:
        accounts: Gives ready channel adapters.
        public_url: The address under which channels reach this installation.
        sandbox: Play: sandbox accounts are used and no others. Otherwise they are never used, so that a simulated
            channel cannot be taken for a real one.
        vault: Seals what methods ask of the payer.
    """

    def __init__(
        self, accounts: channels.Accounts, *, ids: ids.Ids, public_url: str, sandbox: bool, vault: Vault | None
    ) -> None:
        self._accounts = accounts
        self._ids = ids
        self._public_url = public_url.rstrip("/")
        self._sandbox = sandbox
        self._vault = vault

    async def choose(
        self,
        method: str,
        amount_minor: int,
        currency: str,
        *,
        payer_ip: str | None = None,
        payer: Mapping[str, str] | None = None,
        return_url: str | None = None,
        capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
    ) -> NewAttempt:
        """A try by `method` at the first account that takes it.

        Errors:
            NoRoute: none does.
            PayerDetailMissing, ManualCaptureNotOffered: one would, if this were not so.
        """
        can_not: errors.NoRoute | errors.ManualCaptureNotOffered | None = None
        for offer in await self._offers(amount_minor, currency):
            known = offer.capabilities.methods.get(method)
            if known is None:
                continue
            if capture_method is CaptureMethod.MANUAL and not known.manual_capture:
                can_not = errors.ManualCaptureNotOffered("this method takes the money at once", param="capture_method")
                continue
            for name in sorted(known.requires - (payer or {}).keys()):
                raise errors.PayerDetailMissing(f"payer.{name}: is required by this method", param=f"payer.{name}")
            attempt_id = self._ids.new()
            return NewAttempt(
                attempt_id,
                offer.account_id,
                offer.capabilities.channel,
                method,
                payer_ip,
                notify_url=notify_url(self._public_url, offer.account_id),
                return_url=return_url,
                payer_sealed=self._seal(attempt_id, payer) if payer else None,
                expiry_min=offer.capabilities.expiry_min,
                expiry_max=offer.capabilities.expiry_max,
                authorization_kept=offer.capabilities.authorization_kept,
            )
        raise can_not or errors.NoRoute("no channel takes this method, currency and amount", param="method")

    async def methods(
        self, amount_minor: int, currency: str, *, capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    ) -> list[str]:
        """The methods by which a payer may pay such an amount now in the cashier: by a code or on the channel's own
        page, without telling us anything."""
        offers = await self._offers(amount_minor, currency)
        manual = capture_method is CaptureMethod.MANUAL
        return sorted(
            {
                name
                for offer in offers
                for name, method in offer.capabilities.methods.items()
                if method.action in _IN_THE_CASHIER and not method.requires
                if method.manual_capture or not manual
            }
        )

    def open_payer(self, attempt_id: UUID, sealed: bytes | None) -> Mapping[str, str]:
        """What was sealed for a try."""
        if sealed is None:
            return {}
        opened: dict[str, str] = orjson.loads(self._keeper().open(sealed, context=_context(attempt_id)))
        return opened

    def _seal(self, attempt_id: UUID, payer: Mapping[str, str]) -> bytes:
        return self._keeper().seal(orjson.dumps(dict(payer)), context=_context(attempt_id))

    def _keeper(self) -> Vault:
        if self._vault is None:
            raise ConfigurationError("what a payer tells us can be kept only under a secret key")
        return self._vault

    async def _offers(self, amount_minor: int, currency: str) -> list[channels.Offer]:
        return [
            offer
            for offer in await self._accounts.offers()
            if offer.sandbox is self._sandbox and offer.capabilities.takes(amount_minor, currency)
        ]


def notify_url(public_url: str, account_id: UUID) -> str:
    """Where a channel tells us of what went through one of our accounts there."""
    return f"{public_url}/channels/{ids.encode('acc', account_id)}/notifications"


def _context(attempt_id: UUID) -> str:
    return f"attempt:{ids.encode('att', attempt_id)}"
