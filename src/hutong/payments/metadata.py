"""Changes of a payment's metadata by its merchant."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.errors import InvalidParameter
from hutong.payments.documents import Documents, current_metadata
from hutong.payments.model import Payment, PaymentEvent, PaymentEventType
from hutong.payments.statements import sql
from hutong.payments.store import lock, write_timeline
from hutong.payments.timeline import TimelineEntry

METADATA_MAX = 20
"""The most names in a payment's metadata."""


async def change_metadata(
    tx: db.Tx,
    payment_id: UUID,
    changes: Mapping[str, str | None],
    *,
    documents: Documents,
    new_id: Callable[[], UUID],
    now: datetime,
) -> Payment:
    """Merge names and values into a payment's metadata; None removes a name. Names that are not given stay.

    The order itself keeps the metadata that it was placed with, which are compared when it is repeated.

    Effects:
        Emits `payment.updated`, and writes an entry of the timeline.

    Repeat:
        A change that is made already writes and emits nothing.

    Errors:
        InvalidParameter: there would be more than METADATA_MAX names.
    """
    payment = (await lock(tx, [payment_id]))[payment_id]
    before = dict(current_metadata(payment))
    after = {name: value for name, value in (before | dict(changes)).items() if value is not None}
    if len(after) > METADATA_MAX:
        raise InvalidParameter(f"`metadata` would have {len(after)} names, more than {METADATA_MAX}", param="metadata")
    if after == before:
        return payment
    payment.changed_metadata = after
    gone, added = dict(before.items() - after.items()), dict(after.items() - before.items())
    await sql.change_metadata.execute(tx, payment_id, json.dumps(after, ensure_ascii=False, sort_keys=True))
    await sql.delete_metadata.execute(
        tx, name=list(gone), value=list(gone.values()), merchant_id=payment.merchant_id, payment_id=payment_id
    )
    await sql.insert_metadata.execute(
        tx,
        merchant_id=[payment.merchant_id] * len(added),
        name=list(added),
        value=list(added.values()),
        payment_id=[payment_id] * len(added),
    )
    await write_timeline(tx, [TimelineEntry(payment_id, "payment.metadata_changed")], now=now)
    event = PaymentEvent(PaymentEventType.UPDATED, payment)
    await documents.emit(tx, [event], new_id=new_id, now=now)
    return payment
