"""Accounts and transfers with TigerBeetle's names and semantics, and accounting on top.

Promises: debits equal credits in every ledger after every commit; a balance that must not be overdrawn is not, holds
included; an id has one effect and one answer, permanently; rows of the journal never change, and `verify` proves it.
"""

from hutong.ledger.accounting import days
from hutong.ledger.accounting.chart import CHART, AccountOwner
from hutong.ledger.accounting.day_cut import DayCut, run_day_cut
from hutong.ledger.accounting.events import EVENTS, EventCode
from hutong.ledger.accounting.memo import Memo, enter_memos
from hutong.ledger.accounting.postings import Chain, Opening, Posting, book, derive_id
from hutong.ledger.accounting.reversal import reverse
from hutong.ledger.accounting.statements import (
    AccountStatement,
    StatementLine,
    SubjectBalance,
    differences,
    general_ledger,
    roll_up,
    statement,
    statement_of_days,
)
from hutong.ledger.accounts import trial_balance
from hutong.ledger.hash_chain import seal
from hutong.ledger.ids import id  # noqa: A004 - the name the TigerBeetle client gives it
from hutong.ledger.invariants import check_invariants
from hutong.ledger.ledger import Ledger
from hutong.ledger.maintenance import maintain
from hutong.ledger.model import (
    Account,
    CreateTransferStatus,
    Transfer,
    TransferFlags,
)
from hutong.ledger.overdraft import agree_overdraft
from hutong.ledger.partitions import make_partitions
from hutong.ledger.verification import ChainVerdict, Head, chain_head, seal_and_verify, verify

__all__ = [
    "CHART",
    "EVENTS",
    "Account",
    "AccountOwner",
    "AccountStatement",
    "Chain",
    "ChainVerdict",
    "CreateTransferStatus",
    "DayCut",
    "EventCode",
    "Head",
    "Ledger",
    "Memo",
    "Opening",
    "Posting",
    "StatementLine",
    "SubjectBalance",
    "Transfer",
    "TransferFlags",
    "agree_overdraft",
    "book",
    "chain_head",
    "check_invariants",
    "days",
    "derive_id",
    "differences",
    "enter_memos",
    "general_ledger",
    "id",
    "maintain",
    "make_partitions",
    "reverse",
    "roll_up",
    "run_day_cut",
    "seal",
    "seal_and_verify",
    "statement",
    "statement_of_days",
    "trial_balance",
    "verify",
]
