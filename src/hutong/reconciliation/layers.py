"""The layers as data: which rows of which side are compared, by which key, in which columns, and how exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hutong.reconciliation.model import Layer, RowKind


class SideSource(StrEnum):
    """Where the rows of a side come from."""

    JOURNAL = "journal"
    BILL = "bill"
    BATCHES = "batches"
    BANK = "bank"
    ORDERS = "orders"
    PAYMENTS = "payments"


@dataclass(frozen=True, slots=True)
class LayerDefinition:
    """One layer.

    Attributes:
        kinds: The rows that take part, on both sides.
        key: The column that names one row of both sides. Rows with an empty key are keyed by `second_key`.
        group: Whether several rows of one key are summed on each side before they are compared (n:m by a declared key).
        compared: The columns that must be equal, in the order in which a mismatch is named.
        tolerance: By column, the difference in minor units that is let pass.
        rolls: Whether a row without partner waits for the next file; internal layers do not.
    """

    layer: Layer
    name_en: str
    name_zh: str
    ours: SideSource
    theirs: SideSource
    kinds: frozenset[RowKind]
    key: str = "key"
    second_key: str = "channel_no"
    group: bool = False
    compared: tuple[str, ...] = ("state", "currency", "settled", "paid", "ordered", "fee")
    tolerance: Mapping[str, int] = field(default_factory=dict)
    rolls: bool = True


_REFUNDS = frozenset({RowKind.REFUND, RowKind.REFUND_FAILURE})

LAYERS: Mapping[Layer, LayerDefinition] = {
    definition.layer: definition
    for definition in (
        LayerDefinition(
            Layer.ORDER_PAYMENT, "order to payment", "业务订单与支付单", SideSource.ORDERS, SideSource.PAYMENTS,
            frozenset({RowKind.PAYMENT, RowKind.OTHER}), compared=("state", "currency", "ordered"), rolls=False,
        ),
        LayerDefinition(
            Layer.LEDGER_ORDER, "ledger to order", "账务与业务订单", SideSource.JOURNAL, SideSource.ORDERS,
            frozenset({RowKind.PAYMENT, RowKind.REFUND, RowKind.PAYOUT}), compared=("currency", "settled"), rolls=False,
        ),
        LayerDefinition(
            Layer.PAYMENT_BILL, "payment to channel bill", "支付与渠道账单", SideSource.JOURNAL, SideSource.BILL,
            frozenset({RowKind.PAYMENT}),
        ),
        LayerDefinition(
            Layer.REFUND_BILL, "refund to channel bill", "退款与渠道账单", SideSource.JOURNAL, SideSource.BILL,
            _REFUNDS,
        ),
        LayerDefinition(
            Layer.PAYOUT_BILL, "payout to channel bill", "付款与渠道账单", SideSource.JOURNAL, SideSource.BILL,
            frozenset({RowKind.PAYOUT}),
        ),
        LayerDefinition(
            Layer.DISPUTE_BILL, "dispute to channel bill", "争议与渠道账单", SideSource.JOURNAL, SideSource.BILL,
            frozenset({RowKind.DISPUTE}), group=True, compared=("currency", "settled", "fee"),
        ),
        LayerDefinition(
            Layer.BATCH_BANK, "settlement batch to bank statement", "结算批次与银行流水",
            SideSource.BATCHES, SideSource.BANK, frozenset({RowKind.BATCH, RowKind.ENTRY}),
            key="batch", group=True, compared=("currency", "settled"),
        ),
    )
}  # fmt: skip
"""Every layer, in the order in which they are matched: orders before payments before bills before banks."""
