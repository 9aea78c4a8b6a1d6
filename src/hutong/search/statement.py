"""Payment records as rows that add up: a row for each payment, refund and dispute, with our fee and the net amount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from hutong import db, export, ids, money, payments
from hutong.clock import instant
from hutong.search.model import PaymentRecord

BYTE_ORDER_MARK = "\ufeff"
"""What Excel knows UTF-8 by, where the system's own character set is another one."""


class HeadingLanguage(StrEnum):
    """The language of the heading."""

    EN = "en"
    ZH = "zh"


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One row. Amounts in minor units, and in major ones for people; what goes back to the payer is negative."""

    type: str
    id: str
    payment_id: str
    merchant_id: str
    merchant_order_no: str
    merchant_refund_no: str
    status: str
    subject: str
    currency: str
    amount: str
    fee: str
    net: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    amount_captured_minor: int
    amount_paid_minor: int
    amount_settled_minor: int
    amount_refunded_minor: int
    method: str
    channel: str
    customer_id: str
    customer_name: str
    created_at: str
    authorized_at: str
    succeeded_at: str
    closed_at: str


HEADING_ZH: Mapping[str, str] = {
    "type": "类型",
    "id": "编号",
    "payment_id": "支付单号",
    "merchant_id": "商户号",
    "merchant_order_no": "商户订单号",
    "merchant_refund_no": "商户退款单号",
    "status": "状态",
    "subject": "商品描述",
    "currency": "币种",
    "amount": "金额",
    "fee": "手续费",
    "net": "净额",
    "amount_minor": "金额（最小单位）",
    "fee_minor": "手续费（最小单位）",
    "net_minor": "净额（最小单位）",
    "amount_captured_minor": "请款金额（最小单位）",
    "amount_paid_minor": "实付金额（最小单位）",
    "amount_settled_minor": "应结算金额（最小单位）",
    "amount_refunded_minor": "已退款金额（最小单位）",
    "method": "支付方式",
    "channel": "渠道",
    "customer_id": "客户号",
    "customer_name": "客户名称",
    "created_at": "创建时间",
    "authorized_at": "授权时间",
    "succeeded_at": "成功时间",
    "closed_at": "关闭时间",
}
"""The heading in Chinese, by the name of the column."""


async def statement_rows(tx: db.Tx, records: Sequence[PaymentRecord]) -> list[StatementRow]:
    """Return the rows of payment records: each payment, then its refunds and its disputes.

    Args:
        tx: A transaction in the database of the payments.

    Returns:
        Rows whose `net_minor` add up to what the payments have changed in the merchants' pending settlement for good.
    """
    payment_ids = [record.payment_id for record in records]
    amounts = await payments.export.merchant_amounts(tx, payment_ids)
    disputes = await payments.export.held_disputes(tx, payment_ids)
    rows: list[StatementRow] = []
    for record in records:
        # What was released from the database since has no amounts any more.
        rows.append(_payment_row(record, amounts.get(record.payment_id, payments.export.MerchantAmount())))
        rows += [_refund_row(record, refund, amounts) for refund in record.refunds]
        rows += [_dispute_row(record, dispute) for dispute in disputes.get(record.payment_id, ())]
    return rows


def statement_csv(rows: Sequence[StatementRow], *, heading: HeadingLanguage | None, mark: bool = False) -> str:
    """Return rows as CSV. Text that a spreadsheet would run as a formula is made harmless; amounts are numbers.

    Args:
        heading: None for the rows alone.
        mark: Whether to begin with a byte-order mark.
    """
    names = list(StatementRow.__dataclass_fields__)
    shown = [HEADING_ZH[name] for name in names] if heading is HeadingLanguage.ZH else names
    head = "" if heading is None else ",".join(shown) + "\r\n"
    text = export.to_csv(rows).removeprefix(",".join(names) + "\r\n")
    return (BYTE_ORDER_MARK if mark else "") + head + text


def _payment_row(record: PaymentRecord, amounts: payments.export.MerchantAmount) -> StatementRow:
    return _row(
        record,
        "payment",
        ids.encode("pay", record.payment_id),
        (record.amount_minor, amounts.fee_minor, amounts.net_minor),
        status=record.status.value,
        amount_captured_minor=record.amount_captured_minor,
        amount_paid_minor=record.amount_paid_minor,
        amount_settled_minor=record.amount_settled_minor,
        amount_refunded_minor=record.amount_refunded_minor,
        created_at=instant(record.created_at),
        authorized_at=_optional(record.authorized_at),
        succeeded_at=_optional(record.succeeded_at),
        closed_at=_optional(record.closed_at),
    )


def _refund_row(
    record: PaymentRecord, refund: Mapping[str, Any], amounts: Mapping[UUID, payments.export.MerchantAmount]
) -> StatementRow:
    own = amounts.get(ids.decode("ref", refund["id"]), payments.export.MerchantAmount())
    return _row(
        record,
        "refund",
        refund["id"],
        (-refund["amount_minor"], -own.fee_minor, -own.net_minor),
        status="succeeded",
        merchant_refund_no=refund["merchant_refund_no"] or "",
        created_at=refund["created_at"],
        succeeded_at=refund["finished_at"],
    )


def _dispute_row(record: PaymentRecord, dispute: payments.export.HeldDispute) -> StatementRow:
    return _row(
        record,
        "dispute",
        ids.encode("dsp", dispute.dispute_id),
        (-dispute.held_minor, 0, -dispute.held_minor),
        status=dispute.state,
        created_at=instant(dispute.opened_at),
        closed_at=_optional(dispute.finished_at),
    )


def _row(
    record: PaymentRecord, kind: str, identifier: str, amounts: tuple[int, int, int], **fields: Any
) -> StatementRow:
    """Return a row about a payment, with the amount, our fee and the net amount of what it is about."""
    amount_minor, fee_minor, net_minor = amounts
    figures = ("amount_captured_minor", "amount_paid_minor", "amount_settled_minor", "amount_refunded_minor")
    texts = ("merchant_refund_no", "authorized_at", "succeeded_at", "closed_at")
    return StatementRow(
        type=kind,
        id=identifier,
        payment_id=ids.encode("pay", record.payment_id),
        merchant_id=ids.encode("mer", record.merchant_id),
        merchant_order_no=record.merchant_order_no,
        subject=record.subject,
        currency=record.currency,
        amount=money.to_major(amount_minor, record.currency),
        fee=money.to_major(fee_minor, record.currency),
        net=money.to_major(net_minor, record.currency),
        amount_minor=amount_minor,
        fee_minor=fee_minor,
        net_minor=net_minor,
        method=record.method or "",
        channel=record.channel or "",
        customer_id=record.customer_id or "",
        customer_name=record.customer_name or "",
        **dict.fromkeys(figures, 0) | dict.fromkeys(texts, "") | fields,
    )


def _optional(value: datetime | None) -> str:
    return "" if value is None else instant(value)
