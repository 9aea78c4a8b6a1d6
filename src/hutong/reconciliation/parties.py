"""The other party of a reconciliation: a channel account or a bank account, its days, and its layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from uuid import UUID

from hutong import channels, db, ids
from hutong.channels import BillRule
from hutong.errors import ConfigurationError, CredentialsUnreadable, NotFound
from hutong.reconciliation import bank
from hutong.reconciliation.expected import set_window, window_of
from hutong.reconciliation.layers import LAYERS, LayerDefinition
from hutong.reconciliation.model import BANK_PREFIX, DayWindow, FileSource, Layer
from hutong.reconciliation.tolerances import tolerated
from hutong.reconciliation.workplace import Reconciliation

_ALWAYS = (Layer.ORDER_PAYMENT, Layer.LEDGER_ORDER, Layer.PAYMENT_BILL, Layer.REFUND_BILL)
_MORE: Mapping[str, tuple[Layer, ...]] = {
    "wechat": (Layer.PAYOUT_BILL,),
    "alipay": (Layer.PAYOUT_BILL,),
    "stripe": (Layer.DISPUTE_BILL,),
}
"""Layers by channel, beside those that every bill has rows for."""
_BANKS = "bank"
"""The name by which the window of all bank accounts is set."""


@dataclass(frozen=True, slots=True)
class Counterparty:
    """A channel account or a bank account.

    Attributes:
        name: The public id.
        channel: The channel's name; empty for a bank account.
        number: The number that its files name: of the merchant at the channel, or of the bank account.
        currency: Of a bank account; empty for a channel account.
        rule: Of the channel's daily bill; None where there is none, and for a bank account.
    """

    account_id: UUID
    source: FileSource
    name: str
    channel: str
    number: str
    currency: str
    window: DayWindow
    layers: tuple[LayerDefinition, ...]
    rule: BillRule | None

    def ready_at(self, day: date) -> datetime:
        """Return the instant from which the channel has the bill of a day."""
        assert self.rule is not None
        return datetime.combine(day + timedelta(days=1), time(self.rule.ready_hour), timezone(self.rule.utc_offset))

    def last_ready_day(self, now: datetime) -> date:
        """Return the last day whose bill is to be had."""
        assert self.rule is not None
        hours = timedelta(days=1, hours=self.rule.ready_hour)
        return (now.astimezone(timezone(self.rule.utc_offset)) - hours).date()


async def find_party(use: Reconciliation, account_id: UUID) -> Counterparty:
    """Return a channel account or a bank account as a party.

    Errors:
        NotFound: no account has this id. CredentialsUnreadable, ConfigurationError: as for any use of the account.
    """
    async with use.database.transaction() as tx:
        with suppress(NotFound):
            return _bank_party(use, await bank.find_account(tx, account_id))
    try:
        channel = await use.accounts.get(account_id)
    except NotFound:
        raise NotFound("no channel account and no bank account has this id") from None
    name, rule, identity = channel.capabilities.channel, channel.capabilities.bill, channel.bill_identity()
    public_id = ids.encode("acc", account_id)
    if rule is not None and identity.cut is not None:
        rule = replace(rule, cut=identity.cut)
    return Counterparty(
        account_id,
        FileSource.BILL,
        public_id,
        name,
        identity.merchant,
        "",
        window_of(name, public_id, rule, use.config.windows),
        tuple(
            tolerated(definition, name, public_id, use.config.tolerances)
            for layer, definition in LAYERS.items()
            if layer in (*_ALWAYS, *_MORE.get(name, ()))
        ),
        rule,
    )


async def list_parties(use: Reconciliation) -> list[Counterparty]:
    """Return all accounts whose credentials can be used: those at channels, and then those at banks."""
    async with use.database.transaction() as tx:
        entries = await channels.accounts.list_accounts(tx)
        bank_accounts = await bank.list_accounts(tx)
    parties = []
    for entry in entries:
        with suppress(ConfigurationError, CredentialsUnreadable):  # the log says so where it is loaded
            parties.append(await find_party(use, entry.account_id))
    return parties + [_bank_party(use, account) for account in bank_accounts]


async def account_names(tx: db.Tx, account_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the public ids of accounts: at a bank, or else at a channel."""
    at_bank = {account.bank_account_id for account in await bank.list_accounts(tx)}
    return {each: ids.encode(BANK_PREFIX if each in at_bank else "acc", each) for each in account_ids}


def _bank_party(use: Reconciliation, account: bank.BankAccount) -> Counterparty:
    public_id = ids.encode(BANK_PREFIX, account.bank_account_id)
    return Counterparty(
        account.bank_account_id,
        FileSource.BANK,
        public_id,
        "",
        account.number,
        account.currency,
        set_window(bank.BANK_WINDOW, _BANKS, public_id, use.config.windows),
        (LAYERS[Layer.BATCH_BANK],),
        None,
    )
