"""/v1/operator/reconciliation/reports: the figures of an account's day, of all merchants or of one."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from hutong.api.dependencies import Acting, Use
from hutong.api.operator.ledger.shared import Date
from hutong.api.operator.reconciliation.shared import ACCOUNT_ID, PREFIX, TAGS
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.reconciliation import Layer, RunFolder, reports

router = APIRouter(prefix=PREFIX, tags=TAGS, route_class=StrictRoute)


class ReportMatchedObject(BaseModel):
    """What has matched of one layer, kind and currency. Amounts are signed from our side."""

    layer: Layer
    kind: str
    currency: str
    count: int
    ordered_minor: int
    paid_minor: int
    settled_minor: int
    fee_minor: int = Field(description="What the channel has charged.")
    net_minor: int


class ReportDifferenceObject(BaseModel):
    """The differences of one layer, class and currency; long and short are never netted."""

    layer: Layer
    class_: str = Field(alias="class")
    currency: str
    count: int
    long_minor: int = Field(description="Received more than booked.")
    short_minor: int = Field(description="Received less than booked.")


class ReportExplainedObject(BaseModel):
    """How much of the money is explained."""

    currency: str
    volume_minor: int = Field(description="Everything that settled or should have, without signs.")
    unexplained_minor: int = Field(description="What differs, long and short; what only waits is not counted.")
    explained_percent: str | None = Field(description="With twelve decimals, cut: 100 means all. Null without money.")


class ReportMerchantObject(BaseModel):
    """A merchant's part."""

    merchant_id: str | None = Field(description="Null for rows of theirs that belong to no payment of ours.")
    matched: list[ReportMatchedObject]
    differences: list[ReportDifferenceObject]
    explained: list[ReportExplainedObject]


class ReconciliationReportObject(BaseModel):
    """The report of an account's day."""

    object: Literal["reconciliation_report"]
    account_id: str
    day: date
    explained: list[ReportExplainedObject]
    merchants: list[ReportMerchantObject]


@router.get(
    "/reports",
    response_model=ReconciliationReportObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a reconciliation report",
)
async def get_report(
    use: Use,
    _operator: Acting,
    account: Annotated[str, Query(pattern=ACCOUNT_ID, description="The account at the channel or the bank account.")],
    day: Annotated[Date, Query(description="The account's own day.")],
    merchant: Annotated[
        str | None, Query(pattern=r"^mer_[0-7][0-9a-z]{25}$", description="Only the part of this merchant.")
    ] = None,
) -> Response:
    """Return what has matched on a day that was reconciled and what differs, per merchant."""
    config = use.reconciliation.config
    folder = RunFolder(config.folder, account, day)
    document = await asyncio.to_thread(reports.daily_report, folder, merchant=merchant, limits=config.limits)
    return json_answer(document)
