"""The creation of accounts: any account with TigerBeetle's rules, and the chart's accounts on demand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from hutong import db, money
from hutong.clock import to_ns
from hutong.ledger.accounting.chart import account_id, subject
from hutong.ledger.codec import check_numbers, signed, unsigned, uuid_of
from hutong.ledger.model import (
    ID_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountFlags,
    CreateAccountResult,
)
from hutong.ledger.model import CreateAccountStatus as S
from hutong.ledger.statements import sql as _sql

_LINKED = int(AccountFlags.LINKED)
_IMPORTED = int(AccountFlags.IMPORTED)
_LIMITS = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS | AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_UNKNOWN = ~0x3F
_COMPARED = (
    S.EXISTS_WITH_DIFFERENT_FLAGS,
    S.EXISTS_WITH_DIFFERENT_USER_DATA_128,
    S.EXISTS_WITH_DIFFERENT_USER_DATA_64,
    S.EXISTS_WITH_DIFFERENT_USER_DATA_32,
    S.EXISTS_WITH_DIFFERENT_LEDGER,
    S.EXISTS_WITH_DIFFERENT_CODE,
)

_Fields = tuple[int, int, int, int, int, int, int]
"""An account in the order of `_COMPARED`, then its timestamp."""


async def create_accounts(tx: db.Tx, accounts: Sequence[Account], now_ns: int) -> list[CreateAccountResult]:
    """Create accounts, as `Ledger.create_accounts` promises."""
    for a in accounts:
        balances = a.debits_pending | a.debits_posted | a.credits_pending | a.credits_posted
        check_numbers(a.id | a.user_data_128 | balances, a.user_data_64 | a.timestamp, a.user_data_32 | a.ledger,
                      a.code | a.flags)  # fmt: skip
    records = await _sql.known_accounts.fetch(tx, [uuid_of(a.id) for a in accounts])
    creation = _Creation({record["id"].int: _fields_of(record) for record in records})
    if int(accounts[0].flags) & _IMPORTED:
        stamps = [a.timestamp for a in accounts if a.timestamp <= TIMESTAMP_MAX]
        (bounds,) = await _sql.newest_account.fetch(tx, stamps)
        creation.newest, creation.taken = bounds["newest"], frozenset(bounds["taken"])
    first = await _sql.tick.fetchval(tx, len(accounts), now_ns)
    results = creation.run(accounts, first)
    await _insert(tx, creation.created)
    return results


def _fields_of(record: Any) -> _Fields:
    return (
        record["flags"], record["user_data_128"].int, unsigned(record["user_data_64"]), record["user_data_32"],
        record["ledger"], record["code"], record["timestamp"],
    )  # fmt: skip


async def _insert(tx: db.Tx, created: dict[int, _Fields]) -> None:
    if not created:
        return
    flags, data_128, data_64, data_32, ledgers, codes, timestamps = zip(*created.values(), strict=True)
    opened = await _sql.insert_accounts.fetch(
        tx,
        id=[uuid_of(number) for number in created],
        user_data_128=[uuid_of(number) for number in data_128],
        user_data_64=[signed(number) for number in data_64],
        user_data_32=data_32,
        ledger=ledgers,
        code=codes,
        flags=flags,
        timestamp=timestamps,
    )
    if len(opened) != len(created):
        # Another connection opened one of them between our lookup and our insert: run again, this one finds it.
        raise asyncpg.SerializationError("an account was opened by a concurrent transaction")


class _Creation:
    """One batch of accounts against those that exist."""

    def __init__(self, existing: dict[int, _Fields]) -> None:
        self.existing = existing
        self.created: dict[int, _Fields] = {}
        self.newest = 0
        self.taken: frozenset[int] = frozenset()
        self._imported = False
        self._last = 0

    def run(self, accounts: Sequence[Account], first: int) -> list[CreateAccountResult]:
        results: list[CreateAccountResult] = []
        self._imported = bool(int(accounts[0].flags) & _IMPORTED)
        last, chain, broken, mark = len(accounts) - 1, -1, False, 0
        self._last = first + last
        for index, account in enumerate(accounts):
            linked, stamp = int(account.flags) & _LINKED, first + index
            if linked and chain < 0:
                chain, mark = index, self.newest
            if linked and index == last:
                status = S.LINKED_EVENT_CHAIN_OPEN
            elif broken:
                status = S.LINKED_EVENT_FAILED
            else:
                status, stamp = self._create(account, int(account.flags), stamp)
            if status is not S.CREATED and chain >= 0 and not broken:
                broken, self.newest = True, mark
                for member in range(chain, index):
                    results[member].status = S.LINKED_EVENT_FAILED
                    del self.created[accounts[member].id]
            results.append(CreateAccountResult(stamp, status))
            if chain >= 0 and (not linked or status is S.LINKED_EVENT_CHAIN_OPEN):
                chain, broken = -1, False
        return results

    def _create(self, a: Account, flags: int, stamp: int) -> tuple[S, int]:
        status = self._refusal(a, flags)
        if status is not S.CREATED:
            return status, stamp
        fields = (flags, a.user_data_128, a.user_data_64, a.user_data_32, a.ledger, a.code)
        existing = self.existing.get(a.id) or self.created.get(a.id)
        if existing is not None:
            for answer, new, old in zip(_COMPARED, fields, existing[:6], strict=True):
                if new != old:
                    return answer, stamp
            return S.EXISTS, existing[6]
        status = _new_account_refusal(a, flags)
        if status is S.CREATED and flags & _IMPORTED:
            stamp = a.timestamp
            if stamp <= self.newest or stamp in self.taken:
                return S.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, stamp
            self.newest = stamp
        if status is S.CREATED:
            self.created[a.id] = (*fields, stamp)
        return status, stamp

    def _refusal(self, a: Account, flags: int) -> S:
        imported = flags & _IMPORTED
        if bool(imported) != self._imported:
            return S.IMPORTED_EVENT_NOT_EXPECTED if imported else S.IMPORTED_EVENT_EXPECTED
        if not imported and a.timestamp:
            return S.TIMESTAMP_MUST_BE_ZERO
        if imported and not 0 < a.timestamp < TIMESTAMP_MAX:
            return S.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
        if imported and a.timestamp >= self._last:
            return S.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
        if flags & _UNKNOWN:
            return S.RESERVED_FLAG
        if a.id == 0:
            return S.ID_MUST_NOT_BE_ZERO
        return S.ID_MUST_NOT_BE_INT_MAX if a.id == ID_MAX else S.CREATED


def _new_account_refusal(a: Account, flags: int) -> S:
    checks: tuple[tuple[Any, S], ...] = (
        (flags & _LIMITS == _LIMITS, S.FLAGS_ARE_MUTUALLY_EXCLUSIVE),
        (a.debits_pending, S.DEBITS_PENDING_MUST_BE_ZERO),
        (a.debits_posted, S.DEBITS_POSTED_MUST_BE_ZERO),
        (a.credits_pending, S.CREDITS_PENDING_MUST_BE_ZERO),
        (a.credits_posted, S.CREDITS_POSTED_MUST_BE_ZERO),
        (a.ledger == 0, S.LEDGER_MUST_NOT_BE_ZERO),
        (a.code == 0, S.CODE_MUST_NOT_BE_ZERO),
    )
    return next((answer for wrong, answer in checks if wrong), S.CREATED)


async def open_accounts(tx: db.Tx, openings: Sequence[tuple[int, UUID, str]], *, now: datetime) -> None:
    """Open accounts of the chart that do not exist yet; one round trip.

    Args:
        openings: Chart code, owner and currency of each account.

    Repeat:
        Harmless, and cheap: an account that exists costs a lookup.

    Errors:
        InvalidParameter: the chart has no such code, or there is no such currency.
    """
    accounts = {account_id(*opening): opening for opening in openings}
    await _sql.open_accounts.execute(
        tx,
        id=[uuid_of(number) for number in accounts],
        owner=[owner for _, owner, _ in accounts.values()],
        ledger=[money.currency(currency).numeric for _, _, currency in accounts.values()],
        code=[code for code, _, _ in accounts.values()],
        flags=[int(subject(code).flags) for code, _, _ in accounts.values()],
        now_ns=to_ns(now),
    )


async def trial_balance(tx: db.Tx) -> list[asyncpg.Record]:
    """Return the four sums of each ledger.

    Returns:
        Rows of `ledger`, `debits_posted`, `credits_posted`, `debits_pending`, `credits_pending`, one per ledger.
    """
    return await _sql.trial_balance.fetch(tx)
