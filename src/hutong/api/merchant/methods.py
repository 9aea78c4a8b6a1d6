"""/v1/methods"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.responses import Response

from hutong import money, payments
from hutong.api.dependencies import Caller, Use
from hutong.api.paging import list_answer
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.schemas.method import LABELS, MethodList
from hutong.api.schemas.payment import AMOUNT_MINOR_MAX
from hutong.channels import Device

router = APIRouter(prefix="/v1/methods", tags=["Payments"], route_class=StrictRoute)


def _amount(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 19):
        raise ValueError("must be an amount in minor units, in plain digits")
    return value


@router.get(
    "",
    response_model=MethodList,
    responses=responses(400, 401, 422, 503),
    summary="List payment methods",
)
async def list_methods(
    use: Use,
    merchant: Caller,
    amount_minor: Annotated[
        int,
        Query(ge=1, le=AMOUNT_MINOR_MAX, description="The amount in minor units: 1999 is 19.99 in CNY."),
        BeforeValidator(_amount),
    ],
    currency: Annotated[str, Query(pattern=r"^[A-Z]{3}$", description="The ISO 4217 code.")],
    device: Annotated[
        Device | None,
        Query(
            description="Only methods that a page can offer on this device: `desktop` is a computer or a tablet, "
            "`phone` a phone's browser, the others are the browsers inside wallets."
        ),
    ] = None,
    capture_method: Annotated[
        payments.CaptureMethod, Query(description="`manual`: only methods that can reserve money.")
    ] = payments.CaptureMethod.AUTOMATIC,
) -> Response:
    """Return the methods by which a payment of this amount can be made now.

    The cashier asks the same: it shows one method for each wallet, the one that suits the payer's device.
    """
    del merchant
    money.currency(currency)
    offers = await use.lifecycle.route_selector.methods(amount_minor, currency, capture_method=capture_method)
    return list_answer(
        {
            "object": "method",
            "method": offer.name,
            "wallet": offer.wallet,
            "labels": dict(zip(("en", "zh"), LABELS.get(offer.wallet, (offer.wallet, offer.wallet)), strict=True)),
            "action": offer.action,
            "requires": sorted(offer.requires),
            "devices": [each for each in Device if each in offer.devices],
        }
        for offer in offers
        if device is None or device in offer.devices
    )
