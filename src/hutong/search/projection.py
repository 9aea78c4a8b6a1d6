"""Taking facts into the store, in whatever order and however often they come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from hutong import db
from hutong.search.model import SHOWN, Facts, PaymentFact, ProfileFact, RefundFact
from hutong.search.ngrams import fold, grams
from hutong.search.statements import sql

HOUSE = "query"
"""The schema that is read."""

BESIDE = "query_rebuild"
"""The schema in which its like is built."""

F = TypeVar("F", PaymentFact, RefundFact)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = UUID(int=0)


async def apply(tx: db.Tx, facts: Facts) -> None:
    """Take in what was told of payments, refunds and customers.

    Args:
        tx: In which `use_house` has been called, and which nobody else's applying runs beside.

    Repeat:
        The same facts, in any order, any number of times, leave the same rows: each object's newest version holds.
    """
    newest_refunds = _newest(facts.refunds)
    if newest_refunds:
        await sql.put_refunds.execute(tx, *zip(*newest_refunds, strict=True))
    newest = _newest(facts.payments)
    if newest:
        await sql.put_bills.execute(tx, *zip(*map(_row, newest), strict=True))
    touched = {fact.payment_id for fact in newest} | {fact.payment_id for fact in newest_refunds}
    if touched:
        await sql.add_refunds_up.execute(tx, sorted(touched))
    profiles = _profiles(facts)
    if profiles:
        await sql.put_profiles.execute(tx, *zip(*profiles, strict=True))


def _newest(facts: Sequence[F]) -> list[F]:
    """The newest version of each object, in order of the ids, since rows are locked in that order."""
    found: dict[UUID, F] = {}
    for fact in facts:
        known = found.get(fact[0])
        if known is None or known.version < fact.version:
            found[fact[0]] = fact
    return [found[key] for key in sorted(found)]


def _row(fact: PaymentFact) -> tuple[object, ...]:
    if fact.status not in SHOWN:
        return (fact.payment_id, fact.version, fact.merchant_id, *[None] * 15)
    words = fold(fact.subject)
    return (
        fact.payment_id, fact.version, fact.merchant_id, fact.status, fact.merchant_order_no, fact.subject, words,
        " ".join(grams(words)), fact.amount_minor, fact.currency, fact.amount_captured_minor, fact.method, fact.channel,
        fact.customer_id, fact.created_at, fact.authorized_at, fact.succeeded_at, fact.closed_at,
    )  # fmt: skip


def _profiles(facts: Facts) -> list[tuple[object, ...]]:
    """The newest that is said of each customer, in the order of the key."""
    found: dict[tuple[UUID, str], ProfileFact] = {}
    for fact in (*facts.profiles, *filter(None, map(_said, facts.payments))):
        key = (fact.merchant_id, fact.customer_id)
        if key not in found or (found[key].at, found[key].by) < (fact.at, fact.by):
            found[key] = fact
    return [
        (merchant, customer, fact.name, words, " ".join(grams(words)), fact.avatar, fact.at, fact.by)
        for (merchant, customer), fact in sorted(found.items(), key=lambda one: one[0])
        for words in (fold(fact.name or ""),)
    ]


def _said(fact: PaymentFact) -> ProfileFact | None:
    """What an order says of its customer. One that only names the customer is older than any that says something."""
    if fact.customer_id is None:
        return None
    says = fact.customer_name is not None or fact.customer_avatar is not None
    at, by = (fact.created_at, fact.payment_id) if says else (_NEVER, _NOBODY)
    return ProfileFact(fact.merchant_id, fact.customer_id, fact.customer_name, fact.customer_avatar, at, by)
