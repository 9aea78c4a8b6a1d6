"""The data of reconciliation's events."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from hutong.api.operator.reconciliation.reports import ReportDifferenceObject, ReportExplainedObject
from hutong.reconciliation import Layer


class ResultMatchedObject(BaseModel):
    """What has matched in one layer and currency."""

    layer: Layer
    currency: str
    count: int
    net_minor: int = Field(description="What settles less the fee, of the other party's rows.")


class ResultChangesObject(BaseModel):
    """How many differences a run has changed."""

    opened: int
    reopened: int
    changed: int
    resolved: int


class ReconciliationResultObject(BaseModel):
    """The results of an account's day, as its last run has found them."""

    id: str = Field(description="Of the run; the same each time the day is run.")
    object: Literal["reconciliation_result"]
    account_id: str = Field(description="The account at the channel or at the bank.")
    channel: str | None = Field(description="Null for a bank account.")
    day: date
    finished_at: datetime
    matched: list[ResultMatchedObject]
    differences: list[ReportDifferenceObject] = Field(description="With those that wait, of the class `pending`.")
    explained: list[ReportExplainedObject]
    changes: ResultChangesObject


class ReconciliationStatementObject(BaseModel):
    """Your reconciled rows of a day, of the channels whose files have come; `GET /v1/reconciliation/rows` has them."""

    object: Literal["reconciliation_statement"]
    day: date = Field(description="The channels' own day.")
    channels: list[str] = Field(description="The channels whose rows are among them.")
    rows: int
    reconciled: int
    pending: int
    different: int
