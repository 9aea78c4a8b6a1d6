"""A second implementation of TigerBeetle's rules, as plain as possible: dictionaries, and whole copies for chains.

It is written from the reference, not from the engine, so that the two can disagree.
"""

from __future__ import annotations

import copy

from hutong.ledger import Account, Transfer
from hutong.ledger import CreateTransferStatus as T
from hutong.ledger.model import CreateAccountStatus as A

MAX = 2**128 - 1
SUM_MAX = 2**63 - 1
LINKED, PENDING, POST, VOID, BAL_DR, BAL_CR, CLOSE_DR, CLOSE_CR, IMPORTED = (1 << bit for bit in range(9))
A_LINKED, A_DR_LIMIT, A_CR_LIMIT, A_HISTORY, A_IMPORTED, A_CLOSED = (1 << bit for bit in range(6))
SECOND = 10**9


class Oracle:
    def __init__(self):
        self.accounts = {}  # id -> Account
        self.transfers = {}  # id -> Transfer
        self.holds = {}  # id -> "pending" | "posted" | "voided" | "expired"
        self.failed = set()
        self.own_stamps = set()  # of the rows that the ledger writes itself: expired holds and failed ids
        self.overdraft = {}

    # Batches

    def create_accounts(self, events, first):
        return self._batch(events, first, self._account, A, A_LINKED, first + len(events) - 1)

    def create_transfers(self, events, first):
        touched = set()
        for t in events:
            touched |= {t.debit_account_id, t.credit_account_id}
            hold = self.transfers.get(t.pending_id)
            if hold is not None and t.pending_id in self.holds:
                touched |= {hold.debit_account_id, hold.credit_account_id}
        expired = self.expire(first, touched)
        self.own_stamps |= set(range(first - expired, first))
        # The expiries have timestamps after those that the batch took first, and the batch takes its own again.
        earliest = first - expired - len(events) if expired else first
        return self._batch(events, first, self._transfer, T, LINKED, earliest)

    def _batch(self, events, first, create, status_type, linked_flag, end):
        results = []
        chain = None
        imported = bool(events[0].flags & (IMPORTED if status_type is T else A_IMPORTED))
        for i, event in enumerate(events):
            now = first + i
            linked = bool(event.flags & linked_flag)
            if linked and chain is None:
                chain = {"start": i, "before": copy.deepcopy((self.accounts, self.transfers, self.holds)), "ok": True}
            if linked and i == len(events) - 1:
                answer = (status_type.LINKED_EVENT_CHAIN_OPEN, now)
            elif chain is not None and not chain["ok"]:
                answer = (status_type.LINKED_EVENT_FAILED, now)
            else:
                answer = self._timely(event, imported, now, end, status_type)
                if answer is None:
                    answer = create(event, now)
            if answer[0] != status_type.CREATED and chain is not None and chain["ok"]:
                chain["ok"] = False
                self.accounts, self.transfers, self.holds = chain["before"]
                for j in range(chain["start"], i):
                    results[j] = (status_type.LINKED_EVENT_FAILED, results[j][1])
            if status_type is T and answer[0].name in (
                "DEBIT_ACCOUNT_NOT_FOUND", "CREDIT_ACCOUNT_NOT_FOUND", "PENDING_TRANSFER_NOT_FOUND",
                "EXCEEDS_CREDITS", "EXCEEDS_DEBITS", "DEBIT_ACCOUNT_ALREADY_CLOSED", "CREDIT_ACCOUNT_ALREADY_CLOSED",
            ):  # fmt: skip
                self.failed.add(event.id)
                self.own_stamps.add(now)
            results.append(answer)
            if chain is not None and (not linked or answer[0] == status_type.LINKED_EVENT_CHAIN_OPEN):
                chain = None
        return results

    def _timely(self, event, imported, now, end, S):  # noqa: N803
        is_imported = bool(event.flags & (IMPORTED if S is T else A_IMPORTED))
        if imported and not is_imported:
            return S.IMPORTED_EVENT_EXPECTED, now
        if is_imported and not imported:
            return S.IMPORTED_EVENT_NOT_EXPECTED, now
        if not is_imported:
            return (S.TIMESTAMP_MUST_BE_ZERO, now) if event.timestamp else None
        if event.timestamp == 0 or event.timestamp >= 2**63 - 1:
            return S.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE, now
        return (S.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE, now) if event.timestamp >= end else None

    # One account

    def _account(self, a, now):  # noqa: C901, PLR0912
        if a.flags >> 6:
            return A.RESERVED_FLAG, now
        if a.id == 0:
            return A.ID_MUST_NOT_BE_ZERO, now
        if a.id == MAX:
            return A.ID_MUST_NOT_BE_INT_MAX, now
        if a.id in self.accounts:
            e = self.accounts[a.id]
            for field in ("flags", "user_data_128", "user_data_64", "user_data_32", "ledger", "code"):
                if getattr(a, field) != getattr(e, field):
                    return A[f"EXISTS_WITH_DIFFERENT_{field.upper()}"], now
            return A.EXISTS, e.timestamp
        if a.flags & A_DR_LIMIT and a.flags & A_CR_LIMIT:
            return A.FLAGS_ARE_MUTUALLY_EXCLUSIVE, now
        for field in ("debits_pending", "debits_posted", "credits_pending", "credits_posted"):
            if getattr(a, field):
                return A[f"{field.upper()}_MUST_BE_ZERO"], now
        if a.ledger == 0:
            return A.LEDGER_MUST_NOT_BE_ZERO, now
        if a.code == 0:
            return A.CODE_MUST_NOT_BE_ZERO, now
        if a.flags & A_IMPORTED:
            newest = max((x.timestamp for x in self.accounts.values()), default=0)
            taken = self.own_stamps | {t.timestamp for t in self.transfers.values()}
            if a.timestamp <= newest or a.timestamp in taken:
                return A.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, a.timestamp
            now = a.timestamp
        new = copy.copy(a)
        new.timestamp = now
        self.accounts[a.id] = new
        return A.CREATED, now

    # One transfer

    def _transfer(self, t, now):
        if t.flags >> 9:
            return T.RESERVED_FLAG, now
        if t.id == 0:
            return T.ID_MUST_NOT_BE_ZERO, now
        if t.id == MAX:
            return T.ID_MUST_NOT_BE_INT_MAX, now
        if t.id in self.transfers:
            status = self._compare(t, self.transfers[t.id])
            return status, (self.transfers[t.id].timestamp if status == T.EXISTS else now)
        if t.id in self.failed:
            return T.ID_ALREADY_FAILED, now
        if t.flags & (POST | VOID):
            return self._resolve(t, now)
        return self._plain(t, now)

    def _compare(self, t, e):
        for field in ("flags", "pending_id", "timeout"):
            if getattr(t, field) != getattr(e, field):
                return T[f"EXISTS_WITH_DIFFERENT_{field.upper()}"]
        hold = self.transfers.get(t.pending_id) if t.flags & (POST | VOID) else None
        for field in (
            "debit_account_id", "credit_account_id", "amount", "user_data_128", "user_data_64", "user_data_32",
            "ledger", "code",
        ):  # fmt: skip
            given, kept = getattr(t, field), getattr(e, field)
            if hold is not None:
                if field == "amount":
                    same = given == kept or (kept == hold.amount and given == (MAX if t.flags & POST else 0))
                else:
                    same = given == kept or (given == 0 and kept == getattr(hold, field))
            elif field == "amount" and t.flags & (BAL_DR | BAL_CR):
                same = given >= kept
            else:
                same = given == kept
            if not same:
                return T[f"EXISTS_WITH_DIFFERENT_{field.upper()}"]
        return T.EXISTS

    def _plain(self, t, now):  # noqa: C901, PLR0912
        dr, cr = self.accounts.get(t.debit_account_id), self.accounts.get(t.credit_account_id)
        if t.debit_account_id == 0:
            return T.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, now
        if t.debit_account_id == MAX:
            return T.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, now
        if t.credit_account_id == 0:
            return T.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, now
        if t.credit_account_id == MAX:
            return T.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, now
        if t.debit_account_id == t.credit_account_id:
            return T.ACCOUNTS_MUST_BE_DIFFERENT, now
        if t.pending_id != 0:
            return T.PENDING_ID_MUST_BE_ZERO, now
        if not t.flags & PENDING:
            if t.timeout:
                return T.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, now
            if t.flags & (CLOSE_DR | CLOSE_CR):
                return T.CLOSING_TRANSFER_MUST_BE_PENDING, now
        if t.ledger == 0:
            return T.LEDGER_MUST_NOT_BE_ZERO, now
        if t.code == 0:
            return T.CODE_MUST_NOT_BE_ZERO, now
        if dr is None:
            return T.DEBIT_ACCOUNT_NOT_FOUND, now
        if cr is None:
            return T.CREDIT_ACCOUNT_NOT_FOUND, now
        if dr.ledger != cr.ledger:
            return T.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER, now
        if t.ledger != dr.ledger:
            return T.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS, now
        stamp = now
        if t.flags & IMPORTED:
            if self._regresses(t):
                return T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, now
            if t.timestamp <= dr.timestamp:
                return T.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT, now
            if t.timestamp <= cr.timestamp:
                return T.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT, now
            if t.timeout:
                return T.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO, now
            stamp = t.timestamp
        if dr.flags & A_CLOSED:
            return T.DEBIT_ACCOUNT_ALREADY_CLOSED, now
        if cr.flags & A_CLOSED:
            return T.CREDIT_ACCOUNT_ALREADY_CLOSED, now
        amount = t.amount
        if t.flags & BAL_DR:
            amount = min(amount, max(0, dr.credits_posted - dr.debits_posted - dr.debits_pending))
        if t.flags & BAL_CR:
            amount = min(amount, max(0, cr.debits_posted - cr.credits_posted - cr.credits_pending))
        sums = [
            (T.OVERFLOWS_DEBITS_POSTED, dr.debits_posted),
            (T.OVERFLOWS_CREDITS_POSTED, cr.credits_posted),
            (T.OVERFLOWS_DEBITS, dr.debits_pending + dr.debits_posted),
            (T.OVERFLOWS_CREDITS, cr.credits_pending + cr.credits_posted),
        ]
        if t.flags & PENDING:
            sums = [
                (T.OVERFLOWS_DEBITS_PENDING, dr.debits_pending),
                (T.OVERFLOWS_CREDITS_PENDING, cr.credits_pending),
                *sums,
            ]
        for status, before in sums:
            if before + amount > SUM_MAX:
                return status, now
        if stamp + t.timeout * SECOND > 2**63 - 1:
            return T.OVERFLOWS_TIMEOUT, now
        if dr.flags & A_DR_LIMIT:
            allowed = dr.credits_posted + self.overdraft.get(dr.id, 0)
            if dr.debits_pending + dr.debits_posted + amount > allowed:
                return T.EXCEEDS_CREDITS, now
        if cr.flags & A_CR_LIMIT:
            allowed = cr.debits_posted + self.overdraft.get(cr.id, 0)
            if cr.credits_pending + cr.credits_posted + amount > allowed:
                return T.EXCEEDS_DEBITS, now
        if t.flags & PENDING:
            dr.debits_pending += amount
            cr.credits_pending += amount
            self.holds[t.id] = "pending"
        else:
            dr.debits_posted += amount
            cr.credits_posted += amount
        if t.flags & CLOSE_DR:
            dr.flags |= A_CLOSED
        if t.flags & CLOSE_CR:
            cr.flags |= A_CLOSED
        self._keep(t, amount=amount, timestamp=stamp)
        return T.CREATED, stamp

    def _resolve(self, t, now):  # noqa: C901, PLR0912
        both = t.flags & POST and t.flags & VOID
        if both or t.flags & (PENDING | BAL_DR | BAL_CR | CLOSE_DR | CLOSE_CR):
            return T.FLAGS_ARE_MUTUALLY_EXCLUSIVE, now
        if t.pending_id == 0:
            return T.PENDING_ID_MUST_NOT_BE_ZERO, now
        if t.pending_id == MAX:
            return T.PENDING_ID_MUST_NOT_BE_INT_MAX, now
        if t.pending_id == t.id:
            return T.PENDING_ID_MUST_BE_DIFFERENT, now
        if t.timeout:
            return T.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, now
        p = self.transfers.get(t.pending_id)
        if p is None:
            return T.PENDING_TRANSFER_NOT_FOUND, now
        if not p.flags & PENDING:
            return T.PENDING_TRANSFER_NOT_PENDING, now
        for field in ("debit_account_id", "credit_account_id", "ledger", "code"):
            if getattr(t, field) not in (0, getattr(p, field)):
                return T[f"PENDING_TRANSFER_HAS_DIFFERENT_{field.upper()}"], now
        amount = t.amount
        if (t.flags & VOID and amount == 0) or (t.flags & POST and amount == MAX):
            amount = p.amount
        if amount > p.amount:
            return T.EXCEEDS_PENDING_TRANSFER_AMOUNT, now
        if t.flags & VOID and amount < p.amount:
            return T.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT, now
        if self.holds[p.id] == "posted":
            return T.PENDING_TRANSFER_ALREADY_POSTED, now
        if self.holds[p.id] == "voided":
            return T.PENDING_TRANSFER_ALREADY_VOIDED, now
        if self.holds[p.id] == "expired" or (p.timeout and p.timestamp + p.timeout * SECOND <= now):
            return T.PENDING_TRANSFER_EXPIRED, now
        stamp = now
        if t.flags & IMPORTED:
            if self._regresses(t):
                return T.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, now
            stamp = t.timestamp
        dr, cr = self.accounts[p.debit_account_id], self.accounts[p.credit_account_id]
        if t.flags & POST and dr.flags & A_CLOSED:
            return T.DEBIT_ACCOUNT_ALREADY_CLOSED, now
        if t.flags & POST and cr.flags & A_CLOSED:
            return T.CREDIT_ACCOUNT_ALREADY_CLOSED, now
        self._free(p, reopen=bool(t.flags & VOID))
        if t.flags & POST:
            dr.debits_posted += amount
            cr.credits_posted += amount
        self.holds[p.id] = "posted" if t.flags & POST else "voided"
        self._keep(
            t, amount=amount, timestamp=stamp, debit_account_id=p.debit_account_id,
            credit_account_id=p.credit_account_id, ledger=p.ledger, code=p.code,
            user_data_128=t.user_data_128 or p.user_data_128, user_data_64=t.user_data_64 or p.user_data_64,
            user_data_32=t.user_data_32 or p.user_data_32,
        )  # fmt: skip
        return T.CREATED, stamp

    def _regresses(self, t):
        newest = max((x.timestamp for x in self.transfers.values()), default=0)
        return t.timestamp <= newest or t.timestamp in self.own_stamps | {a.timestamp for a in self.accounts.values()}

    def _keep(self, t, **fields):
        new = copy.copy(t)
        for name, value in fields.items():
            setattr(new, name, value)
        self.transfers[t.id] = new

    def _free(self, p, *, reopen):
        dr, cr = self.accounts[p.debit_account_id], self.accounts[p.credit_account_id]
        dr.debits_pending -= p.amount
        cr.credits_pending -= p.amount
        if reopen and p.flags & CLOSE_DR:
            dr.flags &= ~A_CLOSED
        if reopen and p.flags & CLOSE_CR:
            cr.flags &= ~A_CLOSED

    def expire(self, now, touched=None):
        """Release the due holds, on these accounts or on all, and return their number."""
        due = [
            p for p in self.transfers.values()
            if self.holds.get(p.id) == "pending" and p.timeout and p.timestamp + p.timeout * SECOND <= now
            and (touched is None or touched & {p.debit_account_id, p.credit_account_id})
        ]  # fmt: skip
        for p in due:
            self._free(p, reopen=True)
            self.holds[p.id] = "expired"
        return len(due)


__all__ = ["Account", "Oracle", "Transfer"]
