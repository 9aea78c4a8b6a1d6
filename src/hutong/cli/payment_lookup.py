"""`hutong payment list` and `show`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import INSTANTS, Json, as_utc, in_transaction, load_settings
from hutong.cli.merchant_of import merchant_id_of
from hutong.cli.output import print_json, print_line
from hutong.cli.tables import print_table

if TYPE_CHECKING:
    from hutong import db

lookup = typer.Typer()

_MERCHANTS_MAX = 10_000
_LISTED = ("id", "status", "merchant_order_no", "amount_minor", "currency", "method", "merchant_id", "created_at")
_SUMS = (
    "amount_minor", "amount_captured_minor", "amount_refunded_minor", "amount_refunding_minor", "amount_disputed_minor",
)  # fmt: skip
_INSTANTS = ("created_at", "expires_at", "authorized_at", "succeeded_at", "closed_at", "close_reason")
_PARTS = {
    "attempts": ("id", "state", "method", "channel", "channel_order_no", "code", "channel_message", "created_at"),
    "refunds": ("id", "state", "amount_minor", "merchant_refund_no", "route", "channel_refund_no", "created_at"),
    "disputes": ("id", "state", "amount_minor", "reason", "due_at"),
    "exceptions": ("id", "status", "kind", "amount_minor", "expected_minor", "first_seen_at"),
    "timeline": ("at", "what", "attempt_id", "source", "channel_code", "amount_minor", "reason"),
}


class Status(StrEnum):
    """States of a payment."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


@lookup.command("list")
def list_payments(
    merchant: Annotated[
        str | None, typer.Option("--merchant", metavar="MERCHANT", help="Only this merchant's, by id or name.")
    ] = None,
    order_no: Annotated[
        str | None,
        typer.Option("--order", metavar="NUMBER", help="Only payments with this order number of the merchant."),
    ] = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only payments in this state.")] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="METHOD", help="Only payments with an attempt by this method.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=INSTANTS, metavar="INSTANT", help="Created at or after this instant; UTC."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=INSTANTS, metavar="INSTANT", help="Created before this instant; UTC.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most payments to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List payments, newest first."""
    from hutong import ids, merchants, payments

    begin, end = as_utc(since, "--since"), as_utc(until, "--until")
    chosen = None if status is None else payments.PaymentStatus(status)

    async def work(tx: db.Tx) -> list[payments.Payment]:
        owners = None if merchant is None else [await merchant_id_of(tx, merchant)]
        if owners is None and order_no is not None:  # numbers are indexed by merchant
            owners = [one.merchant_id for one in await merchants.list_merchants(tx, limit=_MERCHANTS_MAX)]
        wanted = payments.lookup.PaymentLookup(owners, order_no, chosen, method, begin, end)
        return await payments.lookup.look_up_payments(tx, wanted, limit=limit)

    found = in_transaction(work)
    documents = payments.Documents(_public_url())
    listed = [
        {"merchant_id": ids.encode("mer", each.merchant_id)} | _without_texts(documents.payment(each)) for each in found
    ]
    if as_json:
        print_json({"payments": listed})
    elif listed:
        print_table([{name: _cell(document, name) for name in _LISTED} for document in listed])
    else:
        print_line("no payment is like this")


@lookup.command("show")
def show_payment(
    payment_id: Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment, pay_….")], as_json: Json = False
) -> None:
    """Show a payment with its attempts, refunds, disputes, exceptions and timeline."""
    from hutong import ids, merchants, payments
    from hutong.errors import NotFound

    identifier, documents = ids.decode("pay", payment_id), payments.Documents(_public_url())

    async def work(tx: db.Tx) -> dict[str, Any]:
        payment = (await payments.find(tx, [identifier])).get(identifier)
        if payment is None:
            raise NotFound("no payment has this id", param="PAYMENT")
        owner = (await merchants.find_merchants(tx, [payment.merchant_id])).get(payment.merchant_id)
        whose = {"id": ids.encode("mer", payment.merchant_id), "name": None if owner is None else owner.name}
        document: dict[str, Any] = _without_texts(await payments.lookup.story(tx, documents, payment))
        return {"merchant": whose} | document

    document = in_transaction(work)
    if as_json:
        print_json(document)
    else:
        _print_story(document)


def _print_story(document: dict[str, Any]) -> None:
    payment, merchant = document["payment"], document["merchant"]
    print_line(f"{payment['id']} is {payment['status']}")
    print_line(
        f"{merchant['name'] or '-'} ({merchant['id']}), order {payment['merchant_order_no']}: {payment['subject']}"
    )
    print_line("  ".join([payment["currency"], *(f"{name} {payment[name]}" for name in _SUMS)]))
    print_line("  ".join(f"{name} {payment[name]}" for name in _INSTANTS if payment[name] is not None))
    for name, columns in _PARTS.items():
        rows = payment["attempts"] if name == "attempts" else document[name]
        if rows:
            print_line(name)
            print_table([{column: row[column] for column in columns} for row in rows])


def _cell(document: dict[str, Any], name: str) -> Any:
    attempts = document["attempts"]
    return (attempts[-1]["method"] if attempts else None) if name == "method" else document[name]


def _without_texts(document: Any) -> Any:
    """Leave the texts for payers out, which take the channels' code maps."""
    if isinstance(document, dict):
        return {name: _without_texts(value) for name, value in document.items() if name != "text"}
    return [_without_texts(value) for value in document] if isinstance(document, list) else document


def _public_url() -> str:
    from hutong import app

    return app.public_url(load_settings())
