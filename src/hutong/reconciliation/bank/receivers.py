"""The bank account to which the batches of a channel account settle. Where several may be it, none is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hutong import ids
from hutong.errors import Conflict
from hutong.reconciliation.bank.accounts import BankAccount
from hutong.reconciliation.model import BANK_PREFIX

SETTING = "HUTONG_RECON_SETTLES_TO"


def receivers_of(
    channel: str, account: str, currency: str, accounts: Sequence[BankAccount], settings: Mapping[str, Sequence[str]]
) -> list[BankAccount]:
    """Return the bank accounts that may receive the batches of a channel account in a currency; certain if it is one.

    Args:
        account: The public id of the channel account.
        accounts: All bank accounts.
        settings: By channel, or by account, which goes first: the names or ids of bank accounts. What they leave open,
            such as another currency, is open among all of that currency.

    Errors:
        Conflict: the settings name a bank account that there is not.
    """
    named = settings.get(account) or settings.get(channel) or ()
    known = {name for each in accounts for name in _names(each)}
    if unknown := [name for name in named if name not in known]:
        raise Conflict(f"{SETTING} names `{unknown[0]}`, and no bank account has this name or id")
    candidates = [each for each in accounts if each.currency == currency]
    chosen = [each for each in candidates if not _names(each).isdisjoint(named)]
    return chosen or candidates


def _names(account: BankAccount) -> set[str]:
    return {account.name, ids.encode(BANK_PREFIX, account.bank_account_id)}
