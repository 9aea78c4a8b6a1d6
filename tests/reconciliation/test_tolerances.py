"""Tolerances are set by channel or account, layer and column, and reach the matcher; what settles has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bill_world import BillWorld

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import ConfigurationError
from hutong.reconciliation import find_party, read_tolerances
from hutong.reconciliation.layers import LAYERS
from hutong.reconciliation.model import Layer
from hutong.reconciliation.tolerances import tolerated

BILL = LAYERS[Layer.PAYMENT_BILL]


def test_an_accounts_own_tolerances_go_before_those_of_its_channel() -> None:
    settings = read_tolerances(
        {"unionpay": {"payment_bill": {"fee": 1, "paid": 2}}, "acc_2": {"payment_bill": {"ordered": 3}}, "acc_3": {}}
    )
    assert tolerated(BILL, "unionpay", "acc_1", settings).tolerance == {"fee": 1, "paid": 2}
    assert tolerated(BILL, "unionpay", "acc_2", settings).tolerance == {"ordered": 3}
    for channel, account in (("unionpay", "acc_3"), ("alipay", "acc_1")):
        assert tolerated(BILL, channel, account, settings) == BILL
    assert tolerated(LAYERS[Layer.REFUND_BILL], "unionpay", "acc_1", settings).tolerance == {}


async def test_the_layers_of_an_account_have_what_is_set(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    world = BillWorld(database, clock, tmp_path)
    await world.register()
    object.__setattr__(world.config, "tolerances", read_tolerances({world.name: {"refund_bill": {"fee": 5}}}))
    party = await find_party(world.use, world.account_id)
    assert {layer.layer: dict(layer.tolerance) for layer in party.layers if layer.tolerance} == {
        Layer.REFUND_BILL: {"fee": 5}
    }


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"alipay": {"bill": {"fee": 1}}}, "`alipay.bill` is not a layer"),
        ({"alipay": {"payment_bill": {"settled": 1}}}, "`alipay.payment_bill.settled` is not a column that may differ"),
        ({"acc_1": {"order_payment": {"fee": 1}}}, "`acc_1.order_payment.fee` is not a column .*: ordered"),
        ({"alipay": {"batch_bank": {"settled": 1}}}, "none is allowed here"),
        ({"alipay": {"payment_bill": {"fee": -1}}}, "`alipay.payment_bill.fee` must be from 0 to"),
        ({"alipay": {"payment_bill": {"fee": 1_000_001}}}, "`alipay.payment_bill.fee` must be from 0 to"),
    ],
)
def test_a_wrong_tolerance_is_refused_by_its_field(given: Any, field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"HUTONG_RECON_TOLERANCES: {field}|{field}"):
        read_tolerances(given)
