"""The projection of facts into payment records, in any order and with any number of repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from hutong import db
from hutong.search.model import SHOWN, Facts, PaymentFact, ProfileFact, RefundFact
from hutong.search.ngrams import fold, grams_of
from hutong.search.statements import sql

LIVE = "search"
"""The schema that searches read."""

SHADOW = "search_shadow"
"""The schema of the same form that a rebuild fills."""

F = TypeVar("F", PaymentFact, RefundFact)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The instant of a profile that has the customer's id alone."""
_NOBODY = UUID(int=0)
_HIDDEN = dict.fromkeys(PaymentFact._fields[3:])


async def apply_facts(tx: db.Tx, facts: Facts) -> None:
    """Apply facts about payments, refunds and customers.

    Args:
        tx: A transaction in which `use_schema` has run, and which holds the lock of the projection.

    Repeat:
        The same facts, in any order, any number of times, leave the same rows: each object's newest version holds.
    """
    refunds = _newest(facts.refunds)
    if refunds:
        await sql.put_refunds.execute(tx, rows=refunds)
    payments = _newest(facts.payments)
    if payments:
        await _put_records(tx, payments)
    payment_ids = {fact.payment_id for fact in payments} | {fact.payment_id for fact in refunds}
    if payment_ids:
        await sql.sum_refunds.execute(tx, sorted(payment_ids))
    profiles = _newest_profiles(facts)
    if profiles:
        texts = [fold(fact.name or "") for fact in profiles]
        await sql.put_profiles.execute(
            tx,
            rows=profiles,
            version_at=[fact.at for fact in profiles],
            version_id=[fact.by for fact in profiles],
            folded=texts,
            grams=[" ".join(grams_of(text)) for text in texts],
        )


def _newest(facts: Sequence[F]) -> list[F]:
    """Return the newest version of each object, in order of the ids, since rows are locked in that order."""
    newest: dict[UUID, F] = {}
    for fact in facts:
        other = newest.get(fact[0])
        if other is None or other.version < fact.version:
            newest[fact[0]] = fact
    return [newest[key] for key in sorted(newest)]


async def _put_records(tx: db.Tx, facts: Sequence[PaymentFact]) -> None:
    """Write the rows of payments. The row of an open payment remembers its version and shows nothing."""
    texts = [fold(fact.subject) if fact.status in SHOWN else None for fact in facts]
    await sql.put_records.execute(
        tx,
        rows=[fact if fact.status in SHOWN else fact._replace(**_HIDDEN) for fact in facts],  # type: ignore[arg-type]
        folded=texts,
        grams=[None if text is None else " ".join(grams_of(text)) for text in texts],
    )


def _newest_profiles(facts: Facts) -> list[ProfileFact]:
    """Return the newest profile of each customer, in the order of the key."""
    newest: dict[tuple[UUID, str], ProfileFact] = {}
    for fact in (*facts.profiles, *filter(None, map(_profile_of, facts.payments))):
        key = (fact.merchant_id, fact.customer_id)
        if key not in newest or (newest[key].at, newest[key].by) < (fact.at, fact.by):
            newest[key] = fact
    return [newest[key] for key in sorted(newest)]


def _profile_of(fact: PaymentFact) -> ProfileFact | None:
    """Return the profile that an order gives of its customer.

    An order that has the customer's id alone counts as older than every order that has a name or an avatar.
    """
    if fact.customer_id is None:
        return None
    complete = fact.customer_name is not None or fact.customer_avatar is not None
    at, by = (fact.created_at, fact.payment_id) if complete else (NEVER, _NOBODY)
    return ProfileFact(fact.merchant_id, fact.customer_id, fact.customer_name, fact.customer_avatar, at, by)
