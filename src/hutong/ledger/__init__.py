"""Accounts and transfers with TigerBeetle's names and semantics, and accounting on top.

Promises: debits equal credits in every ledger after every commit; a balance that must not be overdrawn is not, holds
counted; an id has one effect and one answer for ever; rows of the journal never change, and `verify` proves it.
"""

from hutong.ledger.accounting import memo
from hutong.ledger.accounting.chart import CHART, Class, Side, Subject, account_id, subject
from hutong.ledger.accounting.day_cut import DayCut, Step, day_cut, due_day, run_day_cut, set_cut_time
from hutong.ledger.accounting.memo import Memo, MemoStatus
from hutong.ledger.accounting.postings import EVENTS, Event, Leg, transfers_of
from hutong.ledger.accounting.reversal import ReversalResult, ReversalStatus, reverse
from hutong.ledger.accounting.standing_orders import add_sweep, sweep
from hutong.ledger.accounting.statements import (
    Statement,
    StatementLine,
    SubjectBalance,
    general_ledger,
    roll_up,
    statement,
)
from hutong.ledger.accounts import open_accounts, trial_balance
from hutong.ledger.codec import IntegerOverflowError
from hutong.ledger.hash_chain import ChainVerdict, seal, verify
from hutong.ledger.ids import id  # noqa: A004 - the name the TigerBeetle client gives it
from hutong.ledger.invariants import Findings, Uncleared, check_invariants
from hutong.ledger.ledger import BATCH_MAX, Ledger
from hutong.ledger.maintenance import Upkeep, upkeep
from hutong.ledger.model import (
    AMOUNT_MAX,
    BALANCE_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFilterFlags,
    AccountFlags,
    CreateAccountResult,
    CreateAccountStatus,
    CreateTransferResult,
    CreateTransferStatus,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
    TransferFlags,
)
from hutong.ledger.partitions import make_partitions
from hutong.ledger.queries import set_overdraft_limit

__all__ = [
    "AMOUNT_MAX",
    "BALANCE_MAX",
    "BATCH_MAX",
    "CHART",
    "EVENTS",
    "Account",
    "AccountBalance",
    "AccountFilter",
    "AccountFilterFlags",
    "AccountFlags",
    "ChainVerdict",
    "Class",
    "CreateAccountResult",
    "CreateAccountStatus",
    "CreateTransferResult",
    "CreateTransferStatus",
    "DayCut",
    "Event",
    "Findings",
    "IntegerOverflowError",
    "Ledger",
    "Leg",
    "Memo",
    "MemoStatus",
    "QueryFilter",
    "QueryFilterFlags",
    "ReversalResult",
    "ReversalStatus",
    "Side",
    "Statement",
    "StatementLine",
    "Step",
    "Subject",
    "SubjectBalance",
    "Transfer",
    "TransferFlags",
    "Uncleared",
    "Upkeep",
    "account_id",
    "add_sweep",
    "check_invariants",
    "day_cut",
    "due_day",
    "general_ledger",
    "id",
    "make_partitions",
    "memo",
    "open_accounts",
    "reverse",
    "roll_up",
    "run_day_cut",
    "seal",
    "set_cut_time",
    "set_overdraft_limit",
    "statement",
    "subject",
    "sweep",
    "transfers_of",
    "trial_balance",
    "upkeep",
    "verify",
]
