"""The engine: applies a batch of transfers to its locked accounts, one event after another, in memory.

The answers and their precedence are TigerBeetle's. Nothing here reads or writes; `ledger.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from hutong.ledger.batch_state import (
    AMOUNT,
    CODE,
    CREDIT,
    DEBIT,
    EXPIRED,
    EXPIRY_FLAG,
    FLAGS,
    ID,
    LEDGER,
    NS_PER_S,
    PENDING,
    POSTED,
    TIMEOUT,
    TIMESTAMP,
    USER_DATA_32,
    USER_DATA_64,
    USER_DATA_128,
    VOIDED,
    LockedAccount,
    Row,
)
from hutong.ledger.model import (
    AMOUNT_MAX,
    BALANCE_MAX,
    ID_MAX,
    TIMESTAMP_MAX,
    TRANSIENT,
    AccountFlags,
    CreateTransferResult,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)
from hutong.ledger.validation import (
    balanced_amount,
    existing_answer,
    overflow_answer,
    refusal_answer,
    resolution_answer,
)

# Plain numbers, because operations on enum members cost more than everything else.
_LINKED = int(TransferFlags.LINKED)
_PENDING = int(TransferFlags.PENDING)
_POST = int(TransferFlags.POST_PENDING_TRANSFER)
_RESOLVES = int(TransferFlags.POST_PENDING_TRANSFER | TransferFlags.VOID_PENDING_TRANSFER)
_BALANCING = int(TransferFlags.BALANCING_DEBIT | TransferFlags.BALANCING_CREDIT)
_CLOSING_DEBIT = int(TransferFlags.CLOSING_DEBIT)
_CLOSING_CREDIT = int(TransferFlags.CLOSING_CREDIT)
_CLOSING = _CLOSING_DEBIT | _CLOSING_CREDIT
_IMPORTED = int(TransferFlags.IMPORTED)
_UNKNOWN = ~0x1FF
_DEBITS_LIMITED = int(AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS)
_CREDITS_LIMITED = int(AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS)
_LIMITED = _DEBITS_LIMITED | _CREDITS_LIMITED
_CLOSED = int(AccountFlags.CLOSED)
_RESOLVES_OTHERWISE = _PENDING | _BALANCING | _CLOSING

_S = CreateTransferStatus
_CREATED = CreateTransferStatus.CREATED
_CHAIN_OPEN = CreateTransferStatus.LINKED_EVENT_CHAIN_OPEN
_LINKED_FAILED = CreateTransferStatus.LINKED_EVENT_FAILED

_Image: TypeAlias = tuple[LockedAccount, int, int, int, int, int, int, int]
"""An account and the state that a rollback of the chain restores."""


class Batch:
    """One batch of transfers on its accounts.

    Args:
        accounts: The locked accounts by id.
        stored: The existing transfers that the batch's ids or pending ids name, by id.
        states: The state of each of them that is a hold.
        failed: The ids of the batch that have failed permanently.
    """

    def __init__(
        self,
        accounts: dict[int, LockedAccount],
        stored: dict[int, Row],
        states: dict[int, int],
        failed: set[int],
    ) -> None:
        self.accounts = accounts
        self.stored = stored
        self.states = states
        self.failed = failed
        self.rows: list[Row] = []
        self.opened: list[tuple[Row, int]] = []  # holds made, and when they expire (0: never)
        self.resolved: list[int] = []
        self.newly_failed: list[tuple[int, CreateTransferStatus, int]] = []
        self._imported_after = self._imported_before = 0
        self._taken: frozenset[int] = frozenset()
        self._imported = False
        self._stamp = 0
        self._undo: list[_Image] | None = None
        self._mark = (0, 0, 0, 0)

    def run(self, events: Sequence[Transfer], first_timestamp: int) -> list[CreateTransferResult]:
        """Apply the events in order; the n-th gets the timestamp `first_timestamp` + n."""
        results: list[CreateTransferResult] = []
        timestamp, last, chain, broken = first_timestamp, len(events) - 1, -1, False
        self._imported = bool(int(events[0].flags) & _IMPORTED)
        for index, event in enumerate(events):
            flags = int(event.flags)
            self._stamp = timestamp
            linked = flags & _LINKED
            if linked and chain < 0:
                chain = index
                self._open_chain()
            if linked and index == last:
                status = _CHAIN_OPEN
            elif broken:
                status = _LINKED_FAILED
            else:
                status = self._create(event, flags, timestamp)
            if status is not _CREATED:
                if chain >= 0 and not broken:
                    broken = True
                    self._roll_back()
                    for member in range(chain, index):
                        results[member].status = _LINKED_FAILED
                if status in TRANSIENT:
                    self.failed.add(event.id)
                    self.newly_failed.append((event.id, status, timestamp))
            results.append(CreateTransferResult(self._stamp, status))
            if chain >= 0 and (not linked or status is _CHAIN_OPEN):
                chain, broken, self._undo = -1, False, None
            timestamp += 1
        return results

    def import_between(self, newest: int, first: int, taken: frozenset[int]) -> None:
        """Import only after `newest` and before `first`, from which on this batch's own rows have theirs.

        Args:
            taken: The timestamps between them that accounts and the ledger's own rows have.
        """
        self._imported_after, self._imported_before, self._taken = newest, first, taken

    def has_accounts_of(self, hold_id: int) -> bool:
        """Return whether both accounts of a hold are locked."""
        hold = self.stored[hold_id]
        return hold[DEBIT] in self.accounts and hold[CREDIT] in self.accounts

    def expire(self, hold: Row, timestamp: int) -> None:
        """Release a due hold, in a row that the ledger writes itself."""
        debit, credit = self.accounts[hold[DEBIT]], self.accounts[hold[CREDIT]]
        self._release(hold, debit, credit, reopen=True)
        self.states[hold[ID]] = EXPIRED
        self.resolved.append(hold[ID])
        self._record(
            (
                expiry_id(hold[ID], timestamp), hold[DEBIT], hold[CREDIT], hold[AMOUNT], hold[ID],
                hold[USER_DATA_128], hold[USER_DATA_64], hold[USER_DATA_32], 0, hold[LEDGER], hold[CODE],
                EXPIRY_FLAG, timestamp,
            ),
            debit, credit,
        )  # fmt: skip

    def _create(self, event: Transfer, flags: int, timestamp: int) -> CreateTransferStatus:
        if event.timestamp or self._imported or flags & _IMPORTED:
            status = self._time_answer(event, flags)
            if status is not _CREATED:
                return status
        if flags & _UNKNOWN:
            return _S.RESERVED_FLAG
        event_id = event.id
        if event_id == 0:
            return _S.ID_MUST_NOT_BE_ZERO
        if event_id == ID_MAX:
            return _S.ID_MUST_NOT_BE_INT_MAX
        existing = self.stored.get(event_id)
        if existing is not None:
            status = existing_answer(event, flags, existing, self.stored)
            if status is _S.EXISTS:
                self._stamp = existing[TIMESTAMP]
            return status
        if event_id in self.failed:
            return _S.ID_ALREADY_FAILED
        if flags & _RESOLVES:
            return self._resolve(event, flags, timestamp)
        return self._move(event, flags, timestamp)

    def _move(self, event: Transfer, flags: int, timestamp: int) -> CreateTransferStatus:
        """A transfer of its own: booked at once, or held."""
        debit = self.accounts.get(event.debit_account_id)
        credit = self.accounts.get(event.credit_account_id)
        ledger, timeout = event.ledger, event.timeout
        if (
            debit is None or credit is None or debit is credit or event.pending_id or not event.code
            or debit.ledger != ledger or credit.ledger != ledger
            or (not flags & _PENDING and (timeout or flags & _CLOSING))
        ):  # fmt: skip
            return refusal_answer(event, flags, debit, credit)
        if flags & _IMPORTED:
            status = self._imported_answer(event, debit, credit)
            if status is not _CREATED:
                return status
            timestamp = event.timestamp
        amount = balanced_amount(event.amount, flags, debit, credit) if flags & _BALANCING else event.amount
        expires_at = timestamp + timeout * NS_PER_S if timeout else 0
        status = _limit_answer(flags, amount, expires_at, debit, credit)
        if status is not _CREATED:
            return status

        if self._undo is not None:
            self._undo += (_image(debit), _image(credit))
        if flags & _PENDING:
            debit.debits_pending += amount
            credit.credits_pending += amount
        else:
            debit.debits_posted += amount
            credit.credits_posted += amount
        row = self._record(
            (
                event.id, event.debit_account_id, event.credit_account_id, amount, 0, event.user_data_128,
                event.user_data_64, event.user_data_32, timeout, ledger, event.code, flags, timestamp,
            ),
            debit, credit,
        )  # fmt: skip
        if flags & _PENDING:
            self._hold(row, expires_at, debit, credit)
        return _CREATED

    def _hold(self, row: Row, expires_at: int, debit: LockedAccount, credit: LockedAccount) -> None:
        if row[FLAGS] & _CLOSING_DEBIT:
            debit.flags |= _CLOSED
        if row[FLAGS] & _CLOSING_CREDIT:
            credit.flags |= _CLOSED
        if expires_at:
            debit.next_expiry = min(debit.next_expiry, expires_at)
            credit.next_expiry = min(credit.next_expiry, expires_at)
        self.states[row[ID]] = PENDING
        self.opened.append((row, expires_at))

    def _resolve(self, event: Transfer, flags: int, timestamp: int) -> CreateTransferStatus:
        """Post or void a hold."""
        hold = self.stored.get(event.pending_id)
        state = self.states.get(event.pending_id)
        posts = flags & _POST
        if (
            hold is None or state != PENDING or hold[TIMEOUT] or event.amount != (AMOUNT_MAX if posts else 0)
            or flags & _RESOLVES_OTHERWISE or flags & _RESOLVES == _RESOLVES
            or event.debit_account_id or event.credit_account_id or event.ledger or event.code or event.timeout
        ):  # fmt: skip
            status, amount = resolution_answer(event, flags, hold, state, timestamp)
            if status is not _CREATED or hold is None:
                return status
        else:
            amount = hold[AMOUNT]
        debit, credit = self.accounts[hold[DEBIT]], self.accounts[hold[CREDIT]]
        if flags & _IMPORTED:
            status = self._imported_answer(event, None, None)
            if status is not _CREATED:
                return status
            timestamp = event.timestamp
        if posts and (debit.flags | credit.flags) & _CLOSED:
            return _S.DEBIT_ACCOUNT_ALREADY_CLOSED if debit.flags & _CLOSED else _S.CREDIT_ACCOUNT_ALREADY_CLOSED

        if self._undo is not None:
            self._undo += (_image(debit), _image(credit))
        self._release(hold, debit, credit, reopen=not posts)
        if posts:
            debit.debits_posted += amount
            credit.credits_posted += amount
        self.states[event.pending_id] = POSTED if posts else VOIDED
        self.resolved.append(event.pending_id)
        self._record(
            (
                event.id, hold[DEBIT], hold[CREDIT], amount, event.pending_id,
                event.user_data_128 or hold[USER_DATA_128], event.user_data_64 or hold[USER_DATA_64],
                event.user_data_32 or hold[USER_DATA_32], 0, hold[LEDGER], hold[CODE], flags, timestamp,
            ),
            debit, credit,
        )  # fmt: skip
        return _CREATED

    @staticmethod
    def _release(hold: Row, debit: LockedAccount, credit: LockedAccount, *, reopen: bool) -> None:
        debit.debits_pending -= hold[AMOUNT]
        credit.credits_pending -= hold[AMOUNT]
        if reopen and hold[FLAGS] & _CLOSING_DEBIT:
            debit.flags &= ~_CLOSED
        if reopen and hold[FLAGS] & _CLOSING_CREDIT:
            credit.flags &= ~_CLOSED

    def _record(self, fields: Row, debit: LockedAccount, credit: LockedAccount) -> Row:
        debit.version += 1
        credit.version += 1
        row = (
            *fields, debit.version, credit.version,
            debit.debits_pending, debit.debits_posted, debit.credits_pending, debit.credits_posted,
            credit.debits_pending, credit.debits_posted, credit.credits_pending, credit.credits_posted,
        )  # fmt: skip
        self.stored[row[ID]] = row
        self.rows.append(row)
        if self._imported:
            self._imported_after = row[TIMESTAMP]
            self._stamp = row[TIMESTAMP]
        return row

    def _time_answer(self, event: Transfer, flags: int) -> CreateTransferStatus:
        if not flags & _IMPORTED:
            return _S.IMPORTED_EVENT_EXPECTED if self._imported else _S.TIMESTAMP_MUST_BE_ZERO
        if not self._imported:
            return _S.IMPORTED_EVENT_NOT_EXPECTED
        if not 0 < event.timestamp < TIMESTAMP_MAX:
            return _S.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
        if event.timestamp >= self._imported_before:
            return _S.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
        return _CREATED

    def _imported_answer(
        self, event: Transfer, debit: LockedAccount | None, credit: LockedAccount | None
    ) -> CreateTransferStatus:
        if event.timestamp <= self._imported_after or event.timestamp in self._taken:
            return _S.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
        if debit is not None and event.timestamp <= debit.timestamp:
            return _S.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT
        if credit is not None and event.timestamp <= credit.timestamp:
            return _S.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT
        if event.timeout:
            return _S.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO
        return _CREATED

    def _open_chain(self) -> None:
        self._undo = []
        self._mark = (len(self.rows), len(self.opened), len(self.resolved), self._imported_after)

    def _roll_back(self) -> None:
        """Undo the effects of the chain so far, newest first."""
        for account, *values in reversed(self._undo or ()):
            (
                account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted,
                account.version, account.next_expiry, account.flags,
            ) = values  # fmt: skip
        rows, opened, resolved, self._imported_after = self._mark
        for row in self.rows[rows:]:
            del self.stored[row[ID]]
        for pending_id in self.resolved[resolved:]:
            self.states[pending_id] = PENDING
        for row, _ in self.opened[opened:]:
            del self.states[row[ID]]
        del self.rows[rows:], self.opened[opened:], self.resolved[resolved:]
        self._undo = []


def _image(account: LockedAccount) -> _Image:
    return (
        account, account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted,
        account.version, account.next_expiry, account.flags,
    )  # fmt: skip


def _limit_answer(
    flags: int, amount: int, expires_at: int, debit: LockedAccount, credit: LockedAccount
) -> CreateTransferStatus:
    """Return CREATED if both accounts can take the amount, or the reason why not."""
    both = debit.flags | credit.flags
    if both & _CLOSED:
        return _S.DEBIT_ACCOUNT_ALREADY_CLOSED if debit.flags & _CLOSED else _S.CREDIT_ACCOUNT_ALREADY_CLOSED
    debits = debit.debits_pending + debit.debits_posted + amount
    credits_ = credit.credits_pending + credit.credits_posted + amount
    if debits > BALANCE_MAX or credits_ > BALANCE_MAX or expires_at > TIMESTAMP_MAX:
        return overflow_answer(flags, amount, debit, credit)
    if both & _LIMITED:
        if debit.flags & _DEBITS_LIMITED and debits > debit.credits_posted + debit.overdraft_limit:
            return _S.EXCEEDS_CREDITS
        if credit.flags & _CREDITS_LIMITED and credits_ > credit.debits_posted + credit.overdraft_limit:
            return _S.EXCEEDS_DEBITS
    return _CREATED


def expiry_id(pending_id: int, timestamp: int) -> int:
    """Return the id of the row that records the expiry of a hold: deterministic, so that concurrent workers agree."""
    return (timestamp // 1_000_000) << 80 | (pending_id ^ pending_id >> 48) & (1 << 80) - 1
