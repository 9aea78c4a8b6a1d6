"""The routes of payment links: a page at which a payer enters an amount, and gets a payment and its cashier."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hutong import db, ids, merchants, money, payments
from hutong.cashier import translations
from hutong.cashier.bodies import FORM, read_body, read_form
from hutong.cashier.link_pages import render_link
from hutong.cashier.rate_limit import RateLimit
from hutong.cashier.responses import guarded
from hutong.clock import Clock
from hutong.errors import InvalidParameter, NotFound
from hutong.http_requests import check_media_type, refuse_doubled, refuse_foreign_origin
from hutong.merchants import payment_links

BODY_BYTES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class LinkPayments:
    """The payments of links.

    Attributes:
        validity: How long a payment can be paid if its merchant has agreed nothing else.
        longest: How long it can be paid at most.
    """

    database: db.Database
    lifecycle: payments.Payments
    directory: merchants.Directory
    clock: Clock
    new_ids: ids.Ids
    validity: timedelta
    longest: timedelta

    async def find(self, link_id: UUID) -> tuple[payment_links.PaymentLink, merchants.Merchant]:
        """Return a link and its merchant.

        Errors:
            NotFound: there is no such link, or it or its merchant is disabled.
        """
        async with self.database.transaction() as tx:
            link = await payment_links.find_link(tx, link_id)
        merchant = await self.directory.merchant(link.merchant_id)
        if link.disabled_at is not None or merchant.disabled_at is not None:
            raise NotFound("no payment link has this id")
        return link, merchant

    async def create(
        self, link: payment_links.PaymentLink, merchant: merchants.Merchant, amount_minor: int
    ) -> payments.Payment:
        """Create a payment of this amount. It costs nothing until it is paid, and expires like any other."""
        payment_id, now = self.new_ids.new(), self.clock.now()
        new = payments.NewPayment(
            payment_id=payment_id,
            merchant_id=link.merchant_id,
            merchant_order_no=f"link-{ids.encode('pay', payment_id).removeprefix('pay_')}",
            amount_minor=amount_minor,
            currency=link.currency,
            subject=link.subject,
            expires_at=now + min(merchant.payment_validity or self.validity, self.longest),
            checkout_token=secrets.token_urlsafe(18),
            metadata={"payment_link": ids.encode(payment_links.PREFIX, link.link_id)},
            fee_ppm=merchant.fee_ppm,
        )
        placed = await self.lifecycle.place(payments.PlaceOrder(new))
        assert placed.payment is not None, "its order number is new"
        return placed.payment


def create_link_router(links: LinkPayments, *, sandbox: bool = False) -> APIRouter:
    """Build the routes under /link, none in the API's description.

    Args:
        sandbox: Whether every page says that no real money moves.
    """
    limit, page_of = RateLimit(links.clock), partial(guarded, sandbox=sandbox)
    return APIRouter(
        routes=[
            Route("/link/{link_id}", page_of(partial(_page, links, sandbox)), methods=["GET"]),
            Route("/link/{link_id}", page_of(partial(_pay, links, limit, sandbox)), methods=["POST"]),
        ],
        include_in_schema=False,
    )


async def _page(links: LinkPayments, sandbox: bool, request: Request) -> Response:
    """Answer with the page of a link, which needs no script."""
    refuse_doubled(name for name, _ in request.query_params.multi_items())
    link, merchant = await links.find(_link_id(request))
    return _answer(request, link, merchant, sandbox=sandbox)


async def _pay(links: LinkPayments, limit: RateLimit, sandbox: bool, request: Request) -> Response:
    """Create a payment and lead the payer to its cashier. A form of another site is refused."""
    refuse_foreign_origin(request.headers)
    link_id = _link_id(request)
    fields = await _fields(request)
    limit.count(link_id, request.client.host if request.client else "")
    link, merchant = await links.find(link_id)
    try:
        amount_minor = link.most_minor if link.has_fixed_amount else _amount(fields.get("amount", ""), link)
    except InvalidParameter:
        return _answer(request, link, merchant, sandbox=sandbox, entered=fields.get("amount", ""))
    payment = await links.create(link, merchant, amount_minor)
    texts = translations.of_request(request)
    query = urlencode({"token": payment.checkout_token, "lang": texts.code})
    return RedirectResponse(f"/pay/{ids.encode('pay', payment.payment_id)}?{query}", status_code=303)


def _answer(
    request: Request,
    link: payment_links.PaymentLink,
    merchant: merchants.Merchant,
    *,
    sandbox: bool,
    entered: str | None = None,
) -> Response:
    texts = translations.of_request(request)
    html = render_link(link, merchant, texts, entered=entered, sandbox=sandbox)
    headers = {"content-language": texts.tag}
    return HTMLResponse(html, 200 if entered is None else InvalidParameter.http_status, headers)


def _amount(text: str, link: payment_links.PaymentLink) -> int:
    amount_minor = money.from_major(text.strip().replace(",", "").replace("，", ""), link.currency)
    if not link.least_minor <= amount_minor <= link.most_minor:
        raise InvalidParameter("`amount` is outside of what the link takes", param="amount")
    return amount_minor


def _link_id(request: Request) -> UUID:
    return ids.decode(payment_links.PREFIX, request.path_params["link_id"])


async def _fields(request: Request) -> Mapping[str, str]:
    """Read the fields of a small form."""
    check_media_type(request.headers.get("content-type", ""), FORM)
    return read_form(await read_body(request, BODY_BYTES_MAX), fields_max=4)
