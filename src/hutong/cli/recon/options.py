"""Options that several commands of `hutong recon` share."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import typer

Account = Annotated[
    str | None, typer.Option("--account", help="Only this account: acc_… at a channel, bka_… at a bank.")
]
Day = Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="Only this day of the account.")]


def account_id(text: str | None) -> UUID | None:
    """Return the id of a channel account or a bank account; None for none.

    Errors:
        InvalidParameter: it is neither.
    """
    from hutong import ids
    from hutong.errors import InvalidParameter, NotFound
    from hutong.reconciliation import ACCOUNT_PREFIXES

    if text is None:
        return None
    prefix = text.partition("_")[0]
    try:
        if prefix in ACCOUNT_PREFIXES:
            return ids.decode(prefix, text)
    except NotFound:
        pass
    raise InvalidParameter(
        "--account must be the id of an account: acc_… at a channel, bka_… at a bank", param="--account"
    )


def as_day(value: datetime | None) -> date | None:
    """Return the day of an option."""
    return None if value is None else value.date()
