"""The payee of a refund by payout: sealed, checked against the channel's requirements, opened for the call."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import orjson

from hutong import channels, ids
from hutong.errors import InvalidParameter, Unavailable
from hutong.payments.model import Attempt
from hutong.payments.refunds.model import Refund
from hutong.vault import Vault

COLLECTION = "_collection"
"""The suffix of the methods by which merchants deduct under an agreement: that money is refunded by payout."""


def seal_payee(vault: Vault | None, refund_id: UUID, payee: Mapping[str, str]) -> bytes:
    """Return a payee as it is stored.

    Errors:
        InvalidParameter: this installation has no key to seal it.
    """
    if vault is None:
        raise InvalidParameter("payouts need `HUTONG_SECRET_KEY`", param="payee")
    return vault.seal(orjson.dumps(dict(payee)), context=_context(refund_id))


def payout_account(attempt: Attempt, can: channels.Capabilities, payee: Mapping[str, str]) -> UUID | None:
    """Return the account of an automatic payout if the original method fails; None if a person decides.

    Errors:
        InvalidParameter: the payee lacks something that the channel's payouts require.
    """
    if not can.payout_methods:
        return None
    missing = sorted(can.payee_requires - payee.keys())
    if missing:
        raise InvalidParameter(
            f"payee.{missing[0]}: is required for payouts of this channel", param=f"payee.{missing[0]}"
        )
    return attempt.account_id if attempt.method.endswith(COLLECTION) else None


def payout_request(vault: Vault | None, refund: Refund, *, notify_url: str) -> channels.PayoutRequest:
    """Return the request for a payout; the same however often it is sent.

    Errors:
        Unavailable: this process cannot open the payee.
    """
    if vault is None or refund.payee_sealed is None:
        raise Unavailable("this process cannot open the payee of the payout")
    payee = orjson.loads(vault.open(refund.payee_sealed, context=_context(refund.refund_id)))
    return channels.PayoutRequest(
        payout_no=refund.number,
        amount_minor=refund.payer_minor,
        currency=refund.currency,
        payee=payee,
        remark=refund.reason,
        notify_url=notify_url,
    )


def _context(refund_id: UUID) -> str:
    return f"refund_payee:{ids.encode('ref', refund_id)}"
