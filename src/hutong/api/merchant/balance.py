"""/v1/balance: what the merchant's accounts in the ledger hold."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from hutong.api.dependencies import Caller, Use
from hutong.api.paging import list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.schemas.balance import MerchantBalanceList
from hutong.ledger import reports

router = APIRouter(prefix="/v1/balance", tags=["Balance"], route_class=StrictRoute)


@router.get(
    "", response_model=MerchantBalanceList, responses=responses(400, 401, 422, 503), summary="Get your balances"
)
async def get_balance(use: Use, merchant: Caller) -> Response:
    """Return your balances, one for each currency in which money has been captured for you, as last committed."""
    async with use.database.transaction() as tx:
        balances = await reports.merchant_balances(tx, merchant.merchant_id)
    return list_answer(
        {"object": "balance", **asdict(balance), "refundable_minor": balance.refundable_minor} for balance in balances
    )
