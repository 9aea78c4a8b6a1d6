"""Channel accounts: creation, rotation of credentials, diagnosis, rows of bills that cannot be read."""

from hutong.channels.accounts.accounts import (
    AccountEntry,
    create_account,
    ensure_account,
    find_account,
    list_accounts,
    replace_credentials,
    set_enabled,
)
from hutong.channels.accounts.bill_exceptions import keep_bill_exceptions, keep_faults, list_bill_exceptions
from hutong.channels.accounts.diagnostics import diagnose_account

__all__ = [
    "AccountEntry",
    "create_account",
    "diagnose_account",
    "ensure_account",
    "find_account",
    "keep_bill_exceptions",
    "keep_faults",
    "list_accounts",
    "list_bill_exceptions",
    "replace_credentials",
    "set_enabled",
]
