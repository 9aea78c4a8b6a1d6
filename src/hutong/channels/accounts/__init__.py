"""Channel accounts: creation, rotation of credentials, diagnosis."""

from hutong.channels.accounts.accounts import (
    AccountEntry,
    create_account,
    ensure_account,
    find_account,
    list_accounts,
    replace_credentials,
    set_enabled,
)
from hutong.channels.accounts.diagnostics import diagnose_account

__all__ = [
    "AccountEntry",
    "create_account",
    "diagnose_account",
    "ensure_account",
    "find_account",
    "list_accounts",
    "replace_credentials",
    "set_enabled",
]
