"""Accounts and transfers with TigerBeetle's names and semantics, and accounting on top.

Promises: debits equal credits in every ledger after every commit; a balance that must not be overdrawn is not, holds
included; an id has one effect and one answer, permanently; rows of the journal never change, and `verify` proves it.
"""

from hutong.ledger.accounting.chart import CHART, AccountOwner
from hutong.ledger.accounting.day_cut import DayCut, run_day_cut, set_cut_time
from hutong.ledger.accounting.memo import Memo, enter_memos
from hutong.ledger.accounting.postings import (
    EVENTS,
    Chain,
    EventCode,
    Opening,
    Posting,
    book,
    derive_id,
)
from hutong.ledger.accounting.reversal import reverse
from hutong.ledger.accounting.standing_orders import add_standing_order
from hutong.ledger.accounting.statements import StatementLine, SubjectBalance, general_ledger, roll_up, statement
from hutong.ledger.accounts import trial_balance
from hutong.ledger.hash_chain import ChainVerdict, seal, verify
from hutong.ledger.ids import id  # noqa: A004 - the name the TigerBeetle client gives it
from hutong.ledger.invariants import check_invariants
from hutong.ledger.ledger import Ledger
from hutong.ledger.maintenance import maintain
from hutong.ledger.model import (
    Account,
    CreateTransferStatus,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
    TransferFlags,
)
from hutong.ledger.overdraft import agree_overdraft
from hutong.ledger.partitions import make_partitions

__all__ = [
    "CHART",
    "EVENTS",
    "Account",
    "AccountOwner",
    "Chain",
    "ChainVerdict",
    "CreateTransferStatus",
    "DayCut",
    "EventCode",
    "Ledger",
    "Memo",
    "Opening",
    "Posting",
    "QueryFilter",
    "QueryFilterFlags",
    "StatementLine",
    "SubjectBalance",
    "Transfer",
    "TransferFlags",
    "add_standing_order",
    "agree_overdraft",
    "book",
    "check_invariants",
    "derive_id",
    "enter_memos",
    "general_ledger",
    "id",
    "maintain",
    "make_partitions",
    "reverse",
    "roll_up",
    "run_day_cut",
    "seal",
    "set_cut_time",
    "statement",
    "trial_balance",
    "verify",
]
