"""The reasons for refusing a transfer; if several apply, the first in TigerBeetle's order wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hutong.ledger.model import AMOUNT_MAX, BALANCE_MAX, ID_MAX, Transfer, TransferFlags
from hutong.ledger.model import CreateTransferStatus as S

if TYPE_CHECKING:
    from hutong.ledger.batch_state import LockedAccount, Row

_PENDING = int(TransferFlags.PENDING)
_POST = int(TransferFlags.POST_PENDING_TRANSFER)
_VOID = int(TransferFlags.VOID_PENDING_TRANSFER)
_RESOLVES = _POST | _VOID
_BALANCING_DEBIT = int(TransferFlags.BALANCING_DEBIT)
_BALANCING_CREDIT = int(TransferFlags.BALANCING_CREDIT)
_BALANCING = _BALANCING_DEBIT | _BALANCING_CREDIT
_CLOSING = int(TransferFlags.CLOSING_DEBIT | TransferFlags.CLOSING_CREDIT)
_NS_PER_S = 1_000_000_000
_STATE_ANSWERS = {
    2: S.PENDING_TRANSFER_ALREADY_POSTED,
    3: S.PENDING_TRANSFER_ALREADY_VOIDED,
    4: S.PENDING_TRANSFER_EXPIRED,
}


def refusal_answer(event: Transfer, flags: int, debit: LockedAccount | None, credit: LockedAccount | None) -> S:
    """Return why a plain transfer is refused whose fields do not fit each other or its accounts."""
    checks = (
        (event.debit_account_id == 0, S.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO),
        (event.debit_account_id == ID_MAX, S.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX),
        (event.credit_account_id == 0, S.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO),
        (event.credit_account_id == ID_MAX, S.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX),
        (event.debit_account_id == event.credit_account_id, S.ACCOUNTS_MUST_BE_DIFFERENT),
        (event.pending_id, S.PENDING_ID_MUST_BE_ZERO),
        (not flags & _PENDING and event.timeout, S.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER),
        (not flags & _PENDING and flags & _CLOSING, S.CLOSING_TRANSFER_MUST_BE_PENDING),
        (event.ledger == 0, S.LEDGER_MUST_NOT_BE_ZERO),
        (event.code == 0, S.CODE_MUST_NOT_BE_ZERO),
        (debit is None, S.DEBIT_ACCOUNT_NOT_FOUND),
        (credit is None, S.CREDIT_ACCOUNT_NOT_FOUND),
        (debit and credit and debit.ledger != credit.ledger, S.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER),
    )
    return next(
        (answer for wrong, answer in checks if wrong),
        S.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS,
    )


def balanced_amount(amount: int, flags: int, debit: LockedAccount, credit: LockedAccount) -> int:
    """Return as much of the amount as overdraws neither account, holds included."""
    if flags & _BALANCING_DEBIT:
        amount = min(amount, max(debit.credits_posted - debit.debits_posted - debit.debits_pending, 0))
    if flags & _BALANCING_CREDIT:
        amount = min(amount, max(credit.debits_posted - credit.credits_posted - credit.credits_pending, 0))
    return amount


def overflow_answer(flags: int, amount: int, debit: LockedAccount, credit: LockedAccount) -> S:
    """Return which sum would exceed the limit of an account."""
    if flags & _PENDING and amount + debit.debits_pending > BALANCE_MAX:
        return S.OVERFLOWS_DEBITS_PENDING
    if flags & _PENDING and amount + credit.credits_pending > BALANCE_MAX:
        return S.OVERFLOWS_CREDITS_PENDING
    if amount + debit.debits_posted > BALANCE_MAX:
        return S.OVERFLOWS_DEBITS_POSTED
    if amount + credit.credits_posted > BALANCE_MAX:
        return S.OVERFLOWS_CREDITS_POSTED
    if amount + debit.debits_pending + debit.debits_posted > BALANCE_MAX:
        return S.OVERFLOWS_DEBITS
    if amount + credit.credits_pending + credit.credits_posted > BALANCE_MAX:
        return S.OVERFLOWS_CREDITS
    return S.OVERFLOWS_TIMEOUT


def resolution_answer(
    event: Transfer, flags: int, hold: Row | None, state: int | None, timestamp: int
) -> tuple[S, int]:
    """Return whether a hold can be posted or voided as requested, and the amount to book."""
    status = _resolution_fields(event, flags)
    if status is not S.CREATED:
        return status, 0
    if hold is None:
        return S.PENDING_TRANSFER_NOT_FOUND, 0
    _, debit, credit, held, _, _, _, _, timeout, ledger, code, _, held_at = hold[:13]
    if state is None:
        return S.PENDING_TRANSFER_NOT_PENDING, 0
    if event.debit_account_id and event.debit_account_id != debit:
        return S.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID, 0
    if event.credit_account_id and event.credit_account_id != credit:
        return S.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID, 0
    if event.ledger and event.ledger != ledger:
        return S.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER, 0
    if event.code and event.code != code:
        return S.PENDING_TRANSFER_HAS_DIFFERENT_CODE, 0
    amount = resolved_amount(event.amount, flags, held)
    if amount > held:
        return S.EXCEEDS_PENDING_TRANSFER_AMOUNT, 0
    if flags & _VOID and amount < held:
        return S.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT, 0
    if state in _STATE_ANSWERS:
        return _STATE_ANSWERS[state], 0
    if timeout and held_at + timeout * _NS_PER_S <= timestamp:
        return S.PENDING_TRANSFER_EXPIRED, 0
    return S.CREATED, amount


def _resolution_fields(event: Transfer, flags: int) -> S:
    if flags & _RESOLVES == _RESOLVES or flags & (_PENDING | _BALANCING | _CLOSING):
        return S.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if event.pending_id == 0:
        return S.PENDING_ID_MUST_NOT_BE_ZERO
    if event.pending_id == ID_MAX:
        return S.PENDING_ID_MUST_NOT_BE_INT_MAX
    if event.pending_id == event.id:
        return S.PENDING_ID_MUST_BE_DIFFERENT
    if event.timeout:
        return S.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
    return S.CREATED


def resolved_amount(amount: int, flags: int, held: int) -> int:
    """Return the amount to book: zero voids the whole hold, AMOUNT_MAX posts the whole hold."""
    whole = 0 if flags & _VOID else AMOUNT_MAX
    return held if amount == whole else amount


def existing_answer(event: Transfer, flags: int, existing: Row, stored: dict[int, Row]) -> S:
    """Return how a transfer compares with the existing one of the same id."""
    _, debit, credit, amount, pending_id, data_128, data_64, data_32, timeout, ledger, code, old_flags, _ = existing[
        :13
    ]
    if flags != old_flags:
        return S.EXISTS_WITH_DIFFERENT_FLAGS
    if event.pending_id != pending_id:
        return S.EXISTS_WITH_DIFFERENT_PENDING_ID
    if event.timeout != timeout:
        return S.EXISTS_WITH_DIFFERENT_TIMEOUT
    requested = (
        event.debit_account_id, event.credit_account_id, event.amount, event.user_data_128, event.user_data_64,
        event.user_data_32, event.ledger, event.code,
    )  # fmt: skip
    if flags & _RESOLVES:
        # A posting or voiding transfer took the fields that it left out from its hold.
        hold = stored[pending_id]
        requested = (
            requested[0] or debit, requested[1] or credit, resolved_amount(event.amount, flags, hold[3]),
            requested[3] or hold[5], requested[4] or hold[6], requested[5] or hold[7],
            requested[6] or ledger, requested[7] or code,
        )  # fmt: skip
    elif flags & _BALANCING and event.amount >= amount:
        requested = (*requested[:2], amount, *requested[3:])
    kept = (debit, credit, amount, data_128, data_64, data_32, ledger, code)
    return next((answer for answer, new, old in zip(_DIFFERENT, requested, kept, strict=True) if new != old), S.EXISTS)


_DIFFERENT = (
    S.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID,
    S.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID,
    S.EXISTS_WITH_DIFFERENT_AMOUNT,
    S.EXISTS_WITH_DIFFERENT_USER_DATA_128,
    S.EXISTS_WITH_DIFFERENT_USER_DATA_64,
    S.EXISTS_WITH_DIFFERENT_USER_DATA_32,
    S.EXISTS_WITH_DIFFERENT_LEDGER,
    S.EXISTS_WITH_DIFFERENT_CODE,
)
