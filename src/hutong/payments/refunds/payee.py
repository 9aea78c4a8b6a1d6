"""Refund by payout: who receives it, and how it is sent without ever going out beside the original way."""

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
"""How the names of methods end by which merchants deduct under an agreement: what they took goes back by payout."""


def seal_payee(vault: Vault | None, refund_id: UUID, payee: Mapping[str, str]) -> bytes:
    """Who receives a payout, as it is kept.

    Errors:
        InvalidParameter: this installation keeps no such data.
    """
    if vault is None:
        raise InvalidParameter("payees cannot be kept here", param="payee")
    return vault.seal(orjson.dumps(dict(payee)), context=_context(refund_id))


def payout_account(attempt: Attempt, can: channels.Capabilities, payee: Mapping[str, str] | None) -> UUID | None:
    """Where a refund of this try is paid out by itself if the original way fails; None if a person decides.

    Errors:
        InvalidParameter: the channel's payouts need something that the payee does not hold.
    """
    if payee is None or not can.payout_methods:
        return None
    missing = sorted(can.payee_requires - payee.keys())
    if missing:
        raise InvalidParameter("a payout of this channel needs it", param=f"payee.{missing[0]}")
    return attempt.account_id if attempt.method.endswith(COLLECTION) else None


def payout_request(vault: Vault | None, refund: Refund, *, notify_url: str) -> channels.PayoutRequest:
    """What the channel is asked to send out; the same however often it is sent.

    Errors:
        Unavailable: this process cannot read who receives it.
    """
    if vault is None or refund.payee_sealed is None:
        raise Unavailable("this process cannot read who receives the payout")
    payee = orjson.loads(vault.open(refund.payee_sealed, context=_context(refund.refund_id)))
    return channels.PayoutRequest(
        payout_no=refund.number,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        payee=payee,
        remark=refund.reason,
        notify_url=notify_url,
    )


def _context(refund_id: UUID) -> str:
    return f"refund_payee:{ids.encode('ref', refund_id)}"
