"""A merchant's balances in the API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from hutong.api.schemas.fields import ListObject

_ACCOUNT: JsonDict = {"balance_minor": 120_000, "incoming_minor": 0, "outgoing_minor": 1_999}
_EMPTY: JsonDict = {"balance_minor": 0, "incoming_minor": 0, "outgoing_minor": 0}


class AccountBalanceObject(BaseModel):
    """The balance of one of your accounts, in minor units."""

    balance_minor: int = Field(description="What is booked for good; below zero only within an agreed overdraft.")
    incoming_minor: int = Field(description="What is reserved for you and not booked yet, such as an authorization.")
    outgoing_minor: int = Field(description="What is reserved from you and not booked yet, such as a refund.")


class MerchantBalanceObject(BaseModel):
    """Your balances in one currency."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "balance",
                    "currency": "CNY",
                    "pending": _ACCOUNT,
                    "available": _EMPTY,
                    "payout_funds": _EMPTY,
                    "disputed": _EMPTY,
                    "overdraft_limit_minor": 0,
                    "refundable_minor": 118_001,
                }
            ]
        }
    )

    object: Literal["balance"]
    currency: str
    pending: AccountBalanceObject = Field(
        description="What was captured for you, less our fee, and is not settled. Refunds are taken from it."
    )
    available: AccountBalanceObject = Field(description="What is settled and can be paid out to you.")
    payout_funds: AccountBalanceObject = Field(description="What you have set aside for payouts to others.")
    disputed: AccountBalanceObject = Field(description="What is held from you for open disputes.")
    overdraft_limit_minor: int = Field(description="How far `pending` may go below zero, by agreement.")
    refundable_minor: int = Field(
        description="What refunds can take now: the balance of `pending` less its `outgoing_minor`, and the overdraft."
    )


class MerchantBalanceList(ListObject):
    """Your balances, one for each currency."""

    data: list[MerchantBalanceObject]
