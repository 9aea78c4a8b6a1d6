"""The notifications of trades by the Alipay simulator.

Source:
    https://opendocs.alipay.com/open/05osv8 (parameters).
"""

from __future__ import annotations

import secrets

import orjson

from hutong.money import to_major
from hutong.sandbox.alipay.keys import APP_ID, BUYER_ID, SELLER_ID
from hutong.sandbox.alipay.orders import beijing, fund_bills, trade_status
from hutong.sandbox.records import SandboxOrder, SandboxRefund
from hutong.sandbox.store import Store


def return_fields(store: Store, order: SandboxOrder) -> dict[str, str]:
    """Return the parameters with which the payer of a page comes back, unsigned; they state no status.

    Source:
        https://opendocs.alipay.com/support/01raw3.
    """
    return {
        "charset": "utf-8",
        "out_trade_no": order.order_no,
        "method": f"{order.method}.return",
        "total_amount": to_major(order.amount_minor, order.currency),
        "trade_no": order.channel_order_no,
        "auth_app_id": APP_ID,
        "version": "1.0",
        "app_id": order.data["app_id"],
        "seller_id": SELLER_ID,
        "timestamp": beijing(store.clock.now()),
    }


def trade_fields(
    store: Store,
    order: SandboxOrder,
    amount_delta_minor: int,
    refund: SandboxRefund | None,
    refunded_minor: int,
    *,
    numbered: bool,
) -> dict[str, str]:
    """Return the parameters of a notification of an order's new state, unsigned.

    Args:
        refund: The refund that it tells of, if it tells of one.
        refunded_minor: How much of the order has gone back by all refunds.
        numbered: Whether it names the number of the refund.
    """
    paid_at = order.paid_at or store.clock.now()
    total, received, paid = (
        to_major(part + amount_delta_minor, order.currency)
        for part in (order.captured_minor, order.settled_minor, order.payer_minor)
    )
    bills = [{"amount": part, "fundChannel": name} for name, part in fund_bills(order)]
    fields = {
        "notify_type": "trade_status_sync",
        "notify_id": f"{store.clock.now():%Y%m%d}002222{secrets.randbelow(10**18):018d}",
        "notify_time": beijing(store.clock.now()),
        "charset": "utf-8",
        "version": "1.0",
        "app_id": order.data["app_id"],
        "auth_app_id": APP_ID,
        "seller_id": SELLER_ID,
        "buyer_id": order.data.get("buyer", BUYER_ID),
        "out_trade_no": order.order_no,
        "trade_no": order.channel_order_no,
        "trade_status": trade_status(store, order),
        "subject": order.description,
        "total_amount": total,
        "receipt_amount": received,
        **dict.fromkeys(("invoice_amount", "buyer_pay_amount"), paid),
        "point_amount": "0.00",
        "fund_bill_list": orjson.dumps(bills).decode(),
        "gmt_create": beijing(order.data["created_at"]),
        "gmt_payment": beijing(paid_at),
    }
    if refund is not None:
        refunded_at = refund.changed_at or paid_at
        if numbered and order.data.get("cancelled") != refund.refund_no:
            fields["out_biz_no"] = refund.refund_no
        fields |= {
            "refund_fee": to_major(refunded_minor, order.currency),
            "gmt_refund": f"{beijing(refunded_at)}.{refunded_at.microsecond // 1000:03d}",
        }
    return fields
