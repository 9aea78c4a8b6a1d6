"""Requests to UnionPay: the fields of orders, refunds, queries and files, and the checks before they are sent.

Times are Beijing's, without a zone; numbers have no marks. Free text holds none of the characters that have a meaning
in a message, so that a signed message has one reading only.

Source:
    https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=448 (fields).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import urljoin

from hutong.channels.free_text import FreeText
from hutong.channels.model import OrderReference, PayRequest, RefundRequest
from hutong.channels.unionpay.credentials import UnionPayCredentials
from hutong.clock import BEIJING
from hutong.errors import InvalidParameter

AMOUNT_MINOR_MAX = 10**12 - 1
REFUND_WINDOW = timedelta(days=330)
_OUR_NUMBER = re.compile(r"([a-z]{3})_([0-9a-z]{5,29})")
_URL = re.compile(r"https?://[\x21-\x7d]+")
_URL_MAX = 256
SUBJECT = FreeText(32, dict(zip("&={}[]\"'", "＆＝｛｝［］＂＇", strict=True)), basic_only=True, unit="bytes")
"""Without the characters that have a meaning in a message, and without those that its bill in GBK cannot hold."""


@dataclass(frozen=True, slots=True)
class UnionPayProduct:
    """A way to pay, by UnionPay's own codes.

    Attributes:
        interface: Where the order is sent, by the payer's browser or by us.
        refund_window: How long after the payment UnionPay still refunds.
        payer_may_retry: Whether a payer whose card was declined may use another one, until the order expires.
        reserves: Whether an order may only reserve the money.
    """

    txn_type: str
    txn_sub_type: str
    biz_type: str
    channel_type: str
    refund_window: timedelta
    payer_may_retry: bool
    interface: str = "backTransReq"
    reserves: bool = False


FRONT, QR, CODE, COLLECTION = "unionpay_front", "unionpay_qr", "unionpay_code", "unionpay_collection"
APP = "unionpay_app"
RESERVE_TYPE, COMPLETION_TYPE, RELEASE_TYPE = "02", "03", "32"
REVERSAL_TYPE, REVERSAL_SUB_TYPE = "99", "01"
REFUND_TYPE, VOID_TYPE, COMPLETION_VOID_TYPE = "04", "31", "33"
COMPLETION, RELEASE = "cap", "rel"
"""The prefixes, in place of the attempt's, of the numbers of a completion and of a release."""
PRODUCTS = {
    FRONT: UnionPayProduct("01", "01", "000201", "07", REFUND_WINDOW, True, "frontTransReq", reserves=True),
    APP: UnionPayProduct("01", "01", "000201", "08", REFUND_WINDOW, True, "appTransReq", reserves=True),
    QR: UnionPayProduct("01", "07", "000000", "08", timedelta(days=30), payer_may_retry=True),
    CODE: UnionPayProduct("01", "06", "000000", "08", timedelta(days=30), payer_may_retry=False),
    COLLECTION: UnionPayProduct("11", "00", "000501", "07", REFUND_WINDOW, payer_may_retry=False),
}
RETRIED = frozenset(
    (txn_type, product.txn_sub_type)
    for product in PRODUCTS.values()
    for txn_type in (product.txn_type, *([RESERVE_TYPE] if product.reserves else []))
    if product.payer_may_retry
)


def order_fields(request: PayRequest, credentials: UnionPayCredentials) -> dict[str, str]:
    """Return the fields of a payment.

    Errors:
        InvalidParameter: UnionPay could not take it; `param` names the field.
    """
    product = PRODUCTS.get(request.method)
    if product is None:
        raise InvalidParameter("UnionPay does not offer this method", param="method")
    if request.currency != "CNY":
        raise InvalidParameter("UnionPay takes CNY only", param="currency")
    if not request.capture and not product.reserves:
        raise InvalidParameter("UnionPay cannot reserve money by this method", param="capture")
    if not 0 < request.amount_minor <= AMOUNT_MINOR_MAX:
        raise InvalidParameter("UnionPay does not take this amount", param="amount_minor")
    if request.placed_at is None:
        raise InvalidParameter("UnionPay needs the time at which the order was placed", param="placed_at")
    txn_type = product.txn_type if request.capture else RESERVE_TYPE
    fields = _transaction(product, txn_type, product.txn_sub_type, credentials) | {
        "orderId": _number(request.attempt_no, "attempt_no"),
        "txnTime": to_time(request.placed_at),
        "txnAmt": str(request.amount_minor),
        "currencyCode": "156",
        "backUrl": _address(request.notify_url, "notify_url"),
    }
    description = SUBJECT.fit(request.subject)
    if description:
        fields["orderDesc"] = description
    if product.payer_may_retry:
        fields["payTimeout"] = to_time(request.expires_at)
    if request.method == FRONT:
        # UnionPay requires a page to return to; without one the payer comes to the platform's root page.
        fields["frontUrl"] = _address(request.return_url or urljoin(request.notify_url, "/"), "return_url")
    if request.method == CODE:
        if credentials.term_id is None:
            raise InvalidParameter("the account has no terminal number for this method", param="method")
        fields |= {"qrNo": _payer(request, "auth_code", "62[0-9]{14,22}"), "termId": credentials.term_id}
    if request.method == COLLECTION:
        fields["bindId"] = _payer(request, "agreement", "[0-9A-Za-z]{1,128}")
    return fields


def check_refund(refund: RefundRequest) -> None:
    """Check that UnionPay could take a refund.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    order = refund.order
    product = PRODUCTS.get(order.method)
    if product is None or order.currency != "CNY":
        raise InvalidParameter("the order was not paid through UnionPay", param="order")
    _number(refund.refund_no, "refund_no")
    if not 0 < refund.amount_minor <= order.amount_minor:
        raise InvalidParameter("a refund is at most the order's amount", param="amount_minor")
    # A refund that was begun in time is still repeated afterwards, since only that reveals its outcome.
    if refund.created_at > _taken_at(order) + product.refund_window:
        raise InvalidParameter("UnionPay no longer refunds this order", param="order")


def check_void(refund: RefundRequest, cut_hour: int) -> None:
    """Check that UnionPay could cancel a payment: the whole, as asked for on its own clearing day.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    if refund.amount_minor != refund.order.amount_minor:
        raise InvalidParameter("UnionPay cancels whole payments only", param="amount_minor")
    if settle_date(_taken_at(refund.order), cut_hour) != settle_date(refund.created_at, cut_hour):
        raise InvalidParameter("UnionPay cancels a payment on its own clearing day only", param="order")


def refund_fields(
    refund: RefundRequest, txn_type: str, original_query_id: str, credentials: UnionPayCredentials
) -> dict[str, str]:
    """Return the fields of a checked refund ("04"), or of the void of a payment ("31") or a completion ("33")."""
    return _transaction(PRODUCTS[refund.order.method], txn_type, "00", credentials) | {
        "orderId": _number(refund.refund_no, "refund_no"),
        "origQryId": original_query_id,
        "txnTime": to_time(refund.created_at),
        "txnAmt": str(refund.amount_minor),
        "currencyCode": "156",
        "backUrl": _address(refund.notify_url, "notify_url"),
    }


def completion_fields(
    order: OrderReference, txn_type: str, amount_minor: int, credentials: UnionPayCredentials
) -> dict[str, str]:
    """Return the fields of a completion ("03") or a release ("32"), but for `origQryId`.

    Errors:
        InvalidParameter: UnionPay could not take it; `param` names the field.
    """
    product = PRODUCTS.get(order.method)
    if product is None or not product.reserves or order.capture:
        raise InvalidParameter("the order does not only reserve money", param="order")
    if not 0 < amount_minor <= order.amount_minor:
        raise InvalidParameter("a capture is at most the reserved amount", param="amount_minor")
    if order.notify_url is None:
        raise InvalidParameter("UnionPay needs the address of notifications", param="notify_url")
    prefix = COMPLETION if txn_type == COMPLETION_TYPE else RELEASE
    return _transaction(product, txn_type, "00", credentials) | {
        "orderId": _number(related_no(order.attempt_no, prefix), "attempt_no"),
        "txnTime": to_time(intent_time(order, txn_type)),
        "txnAmt": str(amount_minor),
        "currencyCode": "156",
        "backUrl": order.notify_url,
    }


def reversal_fields(order: OrderReference, credentials: UnionPayCredentials) -> dict[str, str]:
    """Return the fields that reverse a payment by code: they name it by its own number and time.

    Source:
        UnionPay's sample for codes that payers show, whose answer 00 is the success:
        https://github.com/yanlun0323/customized-libs (src/main/java/…/union/pay/demo/ConsumeReversal.java).
    """
    product = PRODUCTS[CODE]
    return _transaction(product, REVERSAL_TYPE, REVERSAL_SUB_TYPE, credentials) | {
        "orderId": _number(order.attempt_no, "attempt_no"),
        "txnTime": to_time(order.placed_at),
    }


def intent_time(order: OrderReference, txn_type: str) -> datetime:
    """Return the time that identifies an order's completion or release, beside its number.

    Errors:
        InvalidParameter: the intent has none.
    """
    name = "capture_requested_at" if txn_type == COMPLETION_TYPE else "close_requested_at"
    at: datetime | None = getattr(order, name)
    if at is None:
        raise InvalidParameter("UnionPay needs the time at which this was requested", param=name)
    return at


def related_no(attempt_no: str, prefix: str) -> str:
    """Return the number of an attempt's completion or release."""
    return f"{prefix}_{attempt_no.partition('_')[2]}"


def _taken_at(order: OrderReference) -> datetime:
    """Return when the money was taken, as far as it is known: no earlier than that."""
    return order.placed_at if order.capture_requested_at is None else order.capture_requested_at


def query_fields(our_no: str, placed_at: datetime, credentials: UnionPayCredentials) -> dict[str, str]:
    """Return the fields of a query for a payment, a refund or a void."""
    return {
        "txnType": "00",
        "txnSubType": "00",
        "bizType": "000000",
        "accessType": "0",
        "merId": credentials.mer_id,
        "orderId": _number(our_no, "attempt_no"),
        "txnTime": to_time(placed_at),
    }


def bill_fields(day: date, credentials: UnionPayCredentials, now: datetime) -> dict[str, str]:
    """Return the fields of a request for the file of a clearing day."""
    return {
        "txnType": "76",
        "txnSubType": "01",
        "bizType": "000000",
        "accessType": "0",
        "fileType": "00",
        "merId": credentials.mer_id,
        "txnTime": to_time(now),
        "settleDate": f"{day:%m%d}",
    }


def order_reference(request: PayRequest) -> OrderReference:
    """Return the reference of the order that a checked request places, to query it."""
    assert request.placed_at is not None, "order_fields has checked it"
    return OrderReference(
        request.attempt_no,
        request.method,
        request.amount_minor,
        request.currency,
        request.placed_at,
        expires_at=request.expires_at,
        capture=request.capture,
    )


def _transaction(
    product: UnionPayProduct, txn_type: str, txn_sub_type: str, credentials: UnionPayCredentials
) -> dict[str, str]:
    return {
        "txnType": txn_type,
        "txnSubType": txn_sub_type,
        "bizType": product.biz_type,
        "channelType": product.channel_type,
        "accessType": "0",
        "merId": credentials.mer_id,
    }


def to_their_number(number: str) -> str | None:
    """Return our number in UnionPay's form: letters and digits alone, at most 32 as in the bill; None for another's."""
    match = _OUR_NUMBER.fullmatch(number)
    return "".join(match.groups()) if match else None


def to_time(instant: datetime) -> str:
    """Return an instant as UnionPay writes it."""
    return instant.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def settle_date(instant: datetime, cut_hour: int) -> date:
    """Return the clearing day of an instant, which begins at the cut of the evening before."""
    return (instant.astimezone(BEIJING) + timedelta(hours=24 - cut_hour)).date()


def _number(our_no: str, param: str) -> str:
    number = to_their_number(our_no)
    if number is None:
        raise InvalidParameter("UnionPay does not take this number", param=param)
    return number


def _address(value: str, param: str) -> str:
    if not _URL.fullmatch(value) or len(value) > _URL_MAX:
        raise InvalidParameter(f"UnionPay takes an address of at most {_URL_MAX} characters without ~", param=param)
    return value


def _payer(request: PayRequest, name: str, pattern: str) -> str:
    value = request.payer.get(name, "")
    if not re.fullmatch(pattern, value):
        raise InvalidParameter(f"this method needs the payer's {name}", param=f"payer.{name}")
    return value
