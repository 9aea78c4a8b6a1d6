"""The chart of accounts of an installation: the subjects of this version, and those that finance added."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, money
from hutong.clock import to_ns
from hutong.errors import Conflict, InvalidParameter
from hutong.ledger.accounting.chart import CHART, CLASSES, PLATFORM_OWNERS, AccountOwner, Subject, derive_account_id
from hutong.ledger.codec import uuid_of
from hutong.ledger.model import AccountFlags
from hutong.ledger.statements import sql as _sql

_NAME_LENGTH_MAX = 64


async def list_subjects(tx: db.Tx) -> dict[int, Subject]:
    """Return all subjects by code, in order."""
    added = [
        make_subject(row["code"], row["name_en"], row["name_zh"], AccountOwner(row["owner"]), covered=row["covered"])
        for row in await _sql.added_subjects.fetch(tx)
    ]
    subjects = {**{subject.code: subject for subject in added}, **CHART}
    return dict(sorted(subjects.items()))


def make_subject(code: int, name_en: str, name_zh: str, per: AccountOwner, *, covered: bool) -> Subject:
    """Make a subject; its class follows from the first digit of its code.

    Args:
        covered: Whether its accounts must not be overdrawn.

    Errors:
        InvalidParameter: the code is not one of a subject that has accounts.
    """
    if code // 1000 not in CLASSES or code % 100 == 0:
        raise InvalidParameter("`code` must have four digits, begin with 1 to 5 and not end with 00", param="code")
    flags = AccountFlags.HISTORY
    if covered:
        flags |= AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    return Subject(code, name_en, name_zh, CLASSES[code // 1000], per, flags)


async def add_subject(tx: db.Tx, subject: Subject, *, parent: int, by: str, reason: str, now: datetime) -> None:
    """Add a subject to the chart, permanently.

    Args:
        parent: The code of the group that the subject belongs to, such as 5000 or 5000's group 5100.

    Errors:
        InvalidParameter: a name is blank or too long, or the parent is not that of the code.
        Conflict: the chart has the code or one of the names already.
    """
    if parent not in (subject.parent, subject.code // 1000 * 1000):
        raise InvalidParameter(f"the parent of {subject.code} is {subject.parent}", param="parent")
    for field, name in (("name_en", subject.name_en), ("name_zh", subject.name_zh)):
        if not name.strip() or len(name) > _NAME_LENGTH_MAX or not name.isprintable():
            raise InvalidParameter(f"`{field}` must have 1 to {_NAME_LENGTH_MAX} printable characters", param=field)
    for existing in CHART.values():
        if subject.code == existing.code:
            raise Conflict(f"the chart has {existing.code} already: {existing.name_en}", param="code")
        if subject.name_en.lower() == existing.name_en.lower() or subject.name_zh == existing.name_zh:
            raise Conflict(f"the subject {existing.code} has this name", param="name_en")
    added = await _sql.add_subject.fetchval(
        tx,
        code=subject.code,
        name_en=subject.name_en,
        name_zh=subject.name_zh,
        owner=subject.per.value,
        covered=bool(subject.flags & AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS),
        now=now,
        by=by,
        reason=reason,
    )
    if added is None:
        raise Conflict("the chart has a subject with this code or this name already", param="code")


async def open_account(tx: db.Tx, code: int, owner: UUID | None, currency: str, *, now: datetime) -> tuple[UUID, bool]:
    """Open the account of a subject, an owner and a currency, also of a subject that was added.

    Args:
        owner: May be left out for the platform's own accounts.

    Repeat:
        An account that is open stays as it is.

    Returns:
        The account's id, and whether it is new.

    Errors:
        InvalidParameter: the chart has no such code, there is no such currency, or the owner is missing.
    """
    subject = (await list_subjects(tx)).get(code)
    if subject is None:
        raise InvalidParameter(f"the chart of accounts has no code {code}", param="code")
    owner = owner or PLATFORM_OWNERS.get(subject.per)
    if owner is None:
        raise InvalidParameter(f"the account of {code} needs the owner: {subject.per.value}", param="owner")
    number = uuid_of(derive_account_id(code, owner, currency))
    opened = await _sql.open_accounts.execute(
        tx,
        id=[number],
        owner=[owner],
        ledger=[money.currency(currency).numeric],
        code=[code],
        flags=[int(subject.flags)],
        now_ns=to_ns(now),
    )
    return UUID(int=number.int), opened == "INSERT 0 1"
