"""The sums in the messages of each channel, as public examples have them, and those that contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from hutong.channels.alipay.adapter import Alipay
from hutong.channels.alipay.responses import AlipayResponses
from hutong.channels.codes.codes import Codes, load_codes
from hutong.channels.errors import NoAnswer, NotificationRefused
from hutong.channels.model import ChannelAnswer, OrderReference, RefundRequest
from hutong.channels.stripe.adapter import Stripe
from hutong.channels.stripe.bill import _row
from hutong.channels.stripe.responses import StripeResponses
from hutong.channels.sums import Sums
from hutong.channels.unionpay.adapter import UnionPay
from hutong.channels.unionpay.responses import UnionPayResponses
from hutong.channels.wechat.adapter import WeChatPay
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.responses import WeChatResponses

NOW = datetime(2026, 3, 10, 4, tzinfo=UTC)
NO = "att_01kas0000000000000000000zz"
COUPON = {
    "coupon_id": "109519", "name": "单品惠-6", "scope": "SINGLE", "type": "CASH", "amount": 1000, "stock_id": "931386",
    "wechatpay_contribute": 0, "merchant_contribute": 0, "other_contribute": 0, "currency": "CNY",
}  # fmt: skip


def codes(adapter: Any) -> Codes:
    return Codes(load_codes(adapter.code_map))


def wechat(payer_total: Any = 7800, total: int = 8800, **coupon: Any) -> ChannelAnswer:
    content = {
        "mchid": "1", "appid": "wx1", "out_trade_no": NO, "trade_state": "SUCCESS", "transaction_id": "42",
        "amount": {"total": total, "payer_total": payer_total, "currency": "CNY"},
        "promotion_detail": [COUPON | coupon] if coupon else [],
    }  # fmt: skip
    return WeChatResponses(WeChatMerchant("1", "wx1", None, None, {}), codes(WeChatPay)).order(content, NO)


def alipay(**fields: Any) -> ChannelAnswer:
    node = {"out_trade_no": NO, "trade_no": "20", "trade_status": "TRADE_SUCCESS", "total_amount": "88.00"} | fields
    return AlipayResponses(codes(Alipay)).trade(node, NO, paid_at="2026-03-10 12:00:00")


def unionpay(interface: str = "trade_state", coupons: Any = None, **fields: str) -> ChannelAnswer:
    message = {"txnAmt": "7800", "currencyCode": "156", "queryId": "7", "settleCurrencyCode": "156"} | fields
    message |= {} if coupons is None else {"couponInfo": orjson.dumps(coupons).decode()}
    return UnionPayResponses(codes(UnionPay)).outcome(interface, message, "00", "成功[0000000]", NOW)


def stripe(fee: Any) -> ChannelAnswer:
    intent = {
        "id": "pi_1", "object": "payment_intent", "amount": 8800, "amount_received": 8800, "currency": "usd",
        "status": "succeeded", "metadata": {"attempt_no": NO}, "application_fee_amount": fee, "livemode": False,
    }  # fmt: skip
    return StripeResponses(codes(Stripe), livemode=False).intent(intent, NO)


def figures(answer: ChannelAnswer) -> tuple[int | None, list[tuple[str | None, int, bool]], int]:
    """The settled sum, who bears what, and what the payer paid."""
    sums = answer.sums
    assert sums is not None
    return sums.settled_minor, [(d.funder, d.amount_minor, d.settles) for d in sums.discounts], sums.paid_minor


MERCHANTS = [("merchant", 1000, False)]


def test_wechats_coupons_settle_by_their_type_and_name_their_contributors() -> None:
    assert wechat(8800).sums is None
    assert figures(wechat(type="NOCASH", merchant_contribute=1000)) == (7800, MERCHANTS, 7800)
    assert figures(wechat(type="NOCASH")) == (7800, MERCHANTS, 7800)
    assert figures(wechat(type="CASH", merchant_contribute=1000)) == (8800, [("merchant", 1000, True)], 7800)
    assert figures(wechat(type="CASH")) == (8800, [(None, 1000, True)], 7800)
    several = {"wechatpay_contribute": 300, "merchant_contribute": 600, "other_contribute": 100}
    parts = [("channel", 300, False), ("merchant", 600, False), ("platform", 100, False)]
    assert figures(wechat(type="NOCASH", **several)) == (7800, parts, 7800)
    answer = wechat(type="NOCASH", name="单品惠-6")
    assert answer.sums is not None
    assert answer.sums.discounts[0].name == "单品惠-6"


def test_alipays_discounts_are_those_of_the_means_of_payment() -> None:
    bills = [{"amount": "78.00", "fund_channel": "PCREDIT"}, {"amount": "10.00", "fund_channel": "MDISCOUNT"}]
    stated = {"receipt_amount": "78.00", "buyer_pay_amount": "78.00"}
    assert figures(alipay(fund_bill_list=bills, **stated)) == (7800, MERCHANTS, 7800)
    assert figures(alipay(mdiscount_amount="10.00", **stated)) == (7800, MERCHANTS, 7800)
    assert figures(alipay(**stated)) == (7800, MERCHANTS, 7800)
    named = '[{"amount":"78.00","fundChannel":"PCREDIT"},{"amount":"10.00","fundChannel":"COUPON"}]'
    by_channel = [("channel", 1000, True)]
    of_channel = {"receipt_amount": "88.00", "buyer_pay_amount": "78.00"}
    assert figures(alipay(fund_bill_list=named, **of_channel)) == (8800, by_channel, 7800)
    assert figures(alipay(**of_channel)) == (8800, by_channel, 7800)  # points of the payer's, say
    assert alipay(receipt_amount="88.00", buyer_pay_amount="88.00").sums is None
    assert alipay().sums is None


def test_alipays_zeros_of_a_page_state_nothing() -> None:
    zeros = {"receipt_amount": "0.00", "buyer_pay_amount": "0.00", "invoice_amount": "0.00", "point_amount": "0.00"}
    assert alipay(**zeros).sums is None
    bills = [{"amount": "78.00", "fund_channel": "ALIPAYACCOUNT"}, {"amount": "10.00", "fund_channel": "MDISCOUNT"}]
    assert figures(alipay(fund_bill_list=bills, mdiscount_amount="10.00", **zeros)) == (7800, MERCHANTS, 7800)
    assert figures(alipay(mdiscount_amount="10.00", **zeros)) == (7800, MERCHANTS, 7800)


def test_unionpays_sponsors_are_itself_a_bank_or_a_merchant() -> None:
    def part(sponsor: str, amount: str) -> dict[str, str]:
        return {"type": "DD01", "spnsrId": sponsor, "offstAmt": amount, "id": "cupcp01000023", "desc": "随机立减"}

    assert unionpay(settleAmt="7800").sums is None
    assert unionpay(settleAmt="000000000000").sums is None
    assert figures(unionpay(coupons=[part("848120048712365", "1000")])) == (7800, MERCHANTS, 7800)
    both = [part("00010000", "500"), part("848120048712365", "500")]
    parts = [("channel", 500, True), ("merchant", 500, False)]
    assert figures(unionpay(coupons=both, origTxnAmt="8800", settleAmt="8300")) == (8300, parts, 7800)
    assert unionpay(coupons=both).amount_minor == 8800
    bank = unionpay(coupons=[part("03080000", "1000")], settleAmt="8800")
    assert figures(bank) == (8800, [("platform", 1000, True)], 7800)
    free = unionpay(coupons=[part("00010000", "8800")], txnAmt="0", settleAmt="8800")
    assert (free.amount_minor, figures(free)[2]) == (8800, 0)
    refund = unionpay("refund_state", coupons=both, settleAmt="8300")
    assert (refund.amount_minor, refund.sums) == (8800, None)
    assert refund.returned is not None
    assert (refund.returned.paid_minor, refund.returned.settled_minor) == (7800, 8300)


def test_an_application_fee_is_withheld_and_is_no_fee_of_stripes() -> None:
    assert stripe(None).sums is None
    assert stripe(800).sums == Sums(8800, 8800, 8000, withheld_minor=800)
    fees = [{"amount": 285, "type": "stripe_fee"}, {"amount": 800, "type": "application_fee"}]
    entry = {
        "id": "txn_1", "object": "balance_transaction", "amount": 8800, "fee": 1085, "net": 7715, "currency": "usd",
        "fee_details": fees, "type": "charge", "created": 1, "available_on": 2,
        "source": {"id": "ch_1", "amount": 8800, "amount_captured": 8800, "currency": "usd"},
    }  # fmt: skip
    row = _row(entry)
    assert (row.amount_minor, row.paid_minor, row.settled_minor, row.fee_minor) == (8800, 8800, 8000, 285)


def contradictions() -> dict[str, Any]:
    fund = '[{"amount":"20.00","fundChannel":"MDISCOUNT"}]'
    merchants = {"spnsrId": "848120048712365", "offstAmt": "1000"}
    return {
        "wechat: more paid than ordered": lambda: wechat(8801, type="CASH"),
        "wechat: the coupon is not what was not paid": lambda: wechat(7700, type="CASH"),
        "wechat: nothing explains what was not paid": lambda: wechat(7800),
        "wechat: the contributions are less": lambda: wechat(type="NOCASH", merchant_contribute=900),
        "wechat: another type": lambda: wechat(type="OTHER"),
        "wechat: no number": lambda: wechat("7800", type="CASH"),
        "wechat: a negative coupon": lambda: wechat(9800, type="CASH", amount=-1000),
        "alipay: more will settle": lambda: alipay(receipt_amount="88.01", buyer_pay_amount="88.00"),
        "alipay: more was paid": lambda: alipay(receipt_amount="88.00", buyer_pay_amount="88.01"),
        "alipay: the means are more": lambda: alipay(fund_bill_list=fund, receipt_amount="78.00"),
        "alipay: another discount": lambda: alipay(mdiscount_amount="9.00", receipt_amount="78.00"),
        "alipay: no amount": lambda: alipay(receipt_amount="seventy"),
        "alipay: no list": lambda: alipay(receipt_amount="88.00", fund_bill_list="[1]"),
        "unionpay: more will settle": lambda: unionpay(settleAmt="7801"),
        "unionpay: less was ordered": lambda: unionpay(coupons=[merchants], origTxnAmt="8000"),
        "unionpay: the merchant's part settles": lambda: unionpay(coupons=[merchants], settleAmt="8800"),
        "unionpay: no list": lambda: unionpay(couponInfo="[{]"),
        "unionpay: no amount": lambda: unionpay(coupons=[{"spnsrId": "00010000", "offstAmt": "ten"}]),
        "stripe: the fee is more": lambda: stripe(8801),
        "stripe: a negative fee": lambda: stripe(-1),
    }


@pytest.mark.parametrize("case", contradictions())
def test_sums_that_contradict_each_other_are_no_answer_and_an_unreadable_notification(case: str) -> None:
    with pytest.raises(NoAnswer) as caught:
        contradictions()[case]()
    assert caught.value.answer.channel_code == "sums_contradict"
    refused = NotificationRefused.because(caught.value, proven=True)
    assert (refused.is_unreadable, refused.reason) == (True, "sums_contradict")


def test_a_refunds_parts_are_within_the_refund() -> None:
    def refund(**amount: Any) -> ChannelAnswer:
        content = {"out_refund_no": "ref_1", "status": "SUCCESS", "refund_id": "5", "amount": {"refund": 4400} | amount}
        return WeChatResponses(WeChatMerchant("1", "wx1", None, None, {}), codes(WeChatPay)).refund(content, "ref_1")

    parts = refund(payer_refund=3500, settlement_refund=3900, discount_refund=900).returned
    assert parts is not None
    assert (parts.paid_minor, parts.settled_minor) == (3500, 3900)
    assert refund().returned is None
    for wrong in ({"payer_refund": 4401}, {"settlement_refund": 4401}, {"settlement_refund": -1}):
        with pytest.raises(NoAnswer, match="sums_contradict"):
            refund(**wrong)


def test_what_alipay_took_back_of_the_merchant_is_read() -> None:
    order = OrderReference(NO, "alipay_qr", 8800, "CNY", NOW)
    request = RefundRequest("ref_1", order, 4400, "damaged", "", NOW)

    def read(fields: Mapping[str, Any]) -> ChannelAnswer:
        node = {"out_trade_no": NO, "out_request_no": "ref_1", "refund_amount": "44.00", "trade_no": "20"}
        return AlipayResponses(codes(Alipay)).refund(
            node | {"refund_status": "REFUND_SUCCESS"} | fields, request, "ref_1"
        )

    parts = read({"send_back_fee": "39.00", "present_refund_buyer_amount": "35.50"}).returned
    assert parts is not None
    assert (parts.paid_minor, parts.settled_minor) == (3550, 3900)
    assert read({}).returned is None
    with pytest.raises(NoAnswer, match="sums_contradict"):
        read({"send_back_fee": "44.01"})
