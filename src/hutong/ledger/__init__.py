"""Accounts and transfers with TigerBeetle's names and semantics, and the chart of accounts on top.

Promises: debits equal credits in every ledger after every commit; a balance that must not be overdrawn is not, holds
counted; an id has one effect and one answer for ever; rows of the journal never change.
"""

from hutong.ledger.account import open_accounts, trial_balance
from hutong.ledger.chart import CHART, Class, Side, Subject, account_id, subject
from hutong.ledger.identifier import id  # noqa: A004 - the name the TigerBeetle client gives it
from hutong.ledger.ledger import BATCH_MAX, Ledger
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
from hutong.ledger.partition import make_partitions
from hutong.ledger.query import set_overdraft_limit
from hutong.ledger.rows import IntegerOverflowError
from hutong.ledger.seal import Verdict, seal, verify

__all__ = [
    "AMOUNT_MAX",
    "BALANCE_MAX",
    "BATCH_MAX",
    "CHART",
    "Account",
    "AccountBalance",
    "AccountFilter",
    "AccountFilterFlags",
    "AccountFlags",
    "Class",
    "CreateAccountResult",
    "CreateAccountStatus",
    "CreateTransferResult",
    "CreateTransferStatus",
    "IntegerOverflowError",
    "Ledger",
    "QueryFilter",
    "QueryFilterFlags",
    "Side",
    "Subject",
    "Transfer",
    "TransferFlags",
    "Verdict",
    "account_id",
    "id",
    "make_partitions",
    "open_accounts",
    "seal",
    "set_overdraft_limit",
    "subject",
    "trial_balance",
    "verify",
]
