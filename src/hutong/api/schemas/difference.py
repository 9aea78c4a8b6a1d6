"""Differences of reconciliation in requests and answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from hutong.api.operator.approvals import ProposalObject
from hutong.api.requests import RequestModel, Text
from hutong.api.schemas.fields import ListObject, PageObject, Reason
from hutong.reconciliation import model

DECISIONS_MAX = 1_000
"""The most decisions of one request; more come by a filter or by a file."""

DIFFERENCE_ID = r"^dif_[0-7][0-9a-z]{25}$"
_ACCOUNT_ID = r"^(acc|bka)_[0-7][0-9a-z]{25}$"
_OPERATOR_ID = r"^opr_[0-7][0-9a-z]{25}$"
_AMOUNT_MAX = 999_999_999_999_999


class Explanation(BaseModel):
    """What is wrong, as sentences with the numbers."""

    en: str
    zh: str


class DifferenceObject(BaseModel):
    """One thing that the two sides of a layer do not agree about."""

    id: str
    object: Literal["difference"]
    account_id: str = Field(description="The account at the channel or the bank.")
    layer: model.Layer
    class_: model.DifferenceClass = Field(alias="class", description="What is wrong.")
    side: model.RowSide = Field(description="Whose rows there are.")
    key: str = Field(description="Our number, the channel's if there is none of ours, or the group's key.")
    column: str | None = Field(description="Of a mismatch, the column that differs.")
    state: model.DifferenceState
    currency: str
    amount_minor: int = Field(description="Theirs less ours, after fees: above zero we have received more than booked.")
    suspense_minor: int = Field(description="What of it lies in suspense now.")
    explanation: Explanation
    ours: list[dict[str, Any]] = Field(description="Our rows.")
    theirs: list[dict[str, Any]] = Field(description="The rows of the other side's file.")
    reference: str | None = Field(description="The payment, refund or dispute, if there is one.")
    first_day: date = Field(description="The first day whose run has stated it.")
    last_day: date
    age_days: int
    opened_at: datetime
    owner_id: str | None
    action: model.DifferenceAction | None
    allowed_actions: list[model.DifferenceAction]
    proposal_id: str | None
    partner_id: str | None = Field(description="The difference that it is paired with.")
    voucher: str | None = Field(description="The transfer that closed it.")
    resolved_at: datetime | None
    reason: str | None
    reopened: int = Field(description="How often it was re-opened.")
    content: str = Field(description="The digest of its figures.")


class DifferenceList(PageObject):
    """A page of differences, newest first."""

    data: list[DifferenceObject]


class DifferenceCounter(BaseModel):
    """Differences of one layer, class, state and currency. Long and short are never added up."""

    layer: model.Layer
    class_: model.DifferenceClass = Field(alias="class")
    state: model.DifferenceState
    currency: str
    count: int
    long_minor: int
    short_minor: int
    suspense_long_minor: int
    suspense_short_minor: int
    oldest_day: date


class DifferenceCounters(ListObject):
    """The counters of what the same filter lists."""

    data: list[DifferenceCounter]


class DifferenceStep(BaseModel):
    """One step of a difference's history."""

    at: datetime
    what: str
    by: str = Field(description="An operator, or `hutong`.")
    reason: str | None
    amount_minor: int | None
    voucher: str | None


class DifferenceHistory(ListObject):
    """What has happened to a difference, in order."""

    data: list[DifferenceStep]


class PartnerReason(BaseModel):
    """One thing that speaks for a partner."""

    name: str
    figure: str


class PartnerSuggestion(BaseModel):
    """A difference of the other side that might be the partner. Nothing is booked by it."""

    id: str
    key: str
    amount_minor: int
    score: int = Field(description="From 0 to 100.")
    reasons: list[PartnerReason]


class PartnerSuggestions(ListObject):
    """The likeliest partners, the likeliest first."""

    data: list[PartnerSuggestion]


class DifferenceAssign(Reason):
    """Cases and their new owner."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ids": ["dif_01h455vb4pex5vsknk084sn02q"],
                    "owner_id": "opr_01h455vb4pex5vsknk084sn02q",
                    "reason": "knows this channel",
                }
            ]
        }
    )

    ids: list[Annotated[str, Field(pattern=DIFFERENCE_ID)]] = Field(min_length=1, max_length=DECISIONS_MAX)
    owner_id: str = Field(pattern=_OPERATOR_ID, description="The operator who takes them, or takes them over.")


class DifferenceDecision(Reason):
    """What is decided about one difference."""

    id: str = Field(pattern=DIFFERENCE_ID)
    action: Annotated[model.DifferenceAction, Strict(False)] = Field(description="One of its `allowed_actions`.")
    partner_id: str | None = Field(default=None, pattern=DIFFERENCE_ID, description="For `pair`, the other one.")
    content: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{16,64}$", description="Refused if the figures are not any more these."
    )


class DifferenceDecide(Reason):
    """Decisions about single differences."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "decisions": [
                        {
                            "id": "dif_01h455vb4pex5vsknk084sn02q",
                            "action": "write_off",
                            "reason": "rounding of the channel",
                        }
                    ],
                    "reason": "small amounts of November",
                }
            ]
        }
    )

    decisions: list[DifferenceDecision] = Field(min_length=1, max_length=DECISIONS_MAX)


class DifferenceSelection(RequestModel):
    """Which differences; without `states`, all that are not resolved."""

    account_id: str | None = Field(default=None, pattern=_ACCOUNT_ID)
    layer: Annotated[model.Layer, Strict(False)] | None = None
    class_: Annotated[model.DifferenceClass, Strict(False)] | None = Field(default=None, alias="class")
    states: list[Annotated[model.DifferenceState, Strict(False)]] | None = Field(
        default=None, min_length=1, max_length=6
    )
    owner_id: str | None = Field(default=None, pattern=_OPERATOR_ID)
    unowned: bool = False
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    at_least_minor: int | None = Field(default=None, ge=0, le=_AMOUNT_MAX, description="Without its sign.")
    at_most_minor: int | None = Field(default=None, ge=0, le=_AMOUNT_MAX)
    first_until: Annotated[date, Strict(False)] | None = Field(
        default=None, description="Only those that are as old as this day."
    )
    last_day: Annotated[date, Strict(False)] | None = None
    key: Text | None = Field(default=None, min_length=1, max_length=128, description="The key or the reference.")


class DifferenceBulk(Reason):
    """An action for all differences that a filter selects."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "filter": {"layer": "payment_bill", "class": "mismatch", "at_most_minor": 5, "currency": "CNY"},
                    "action": "write_off",
                    "reason": "rounding of the channel",
                }
            ]
        }
    )

    filter: DifferenceSelection
    action: Annotated[model.DifferenceAction, Strict(False)]


class DifferenceResolve(DifferenceBulk):
    """The action of a preview, with the preview's digest."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "filter": {"layer": "payment_bill", "class": "mismatch", "at_most_minor": 5, "currency": "CNY"},
                    "action": "write_off",
                    "reason": "rounding of the channel",
                    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                }
            ]
        }
    )

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the preview: another list is refused.")


class DifferencePreviewObject(BaseModel):
    """What an action would do."""

    object: Literal["difference_preview"]
    digest: str
    count: int
    totals: dict[str, dict[str, int]] = Field(description="By currency: `count`, `long_minor` and `short_minor`.")
    needs_approval: bool
    refused: int
    reasons: dict[str, int] = Field(description="How many are refused, by reason.")


class DifferenceRefusal(BaseModel):
    """A decision that was not taken."""

    place: int = Field(description="Its place in the list, from 0.")
    id: str
    reason: str


class DifferencesDecided(BaseModel):
    """The outcome of decisions."""

    object: Literal["differences_decided"]
    proposal: ProposalObject | None = Field(description="Waits for another person; null if no money moves.")
    done: list[str] = Field(description="The differences that are approved at once.")
    refused: list[DifferenceRefusal]
