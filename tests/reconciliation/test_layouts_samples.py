"""Bills as channels deliver them, written after their published formats, become exactly the rows that they state.

Source: the columns, the frames and the signs are those that the channels publish:
https://pay.weixin.qq.com/doc/v3/merchant/4012791866, https://opendocs.alipay.com/open/309/104962 and
https://docs.stripe.com/api/balance_transactions/object. All numbers and names are invented.
"""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from hutong.channels.errors import BillRefused
from hutong.reconciliation import layouts

_COLUMNS = 'kind, key, channel_no, original_key, "at"::VARCHAR, currency, ordered, paid, settled, fee, state, line'

WECHAT = (
    "\ufeff交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,"
    "费率备注\r\n"
    "`2021-01-28 23:59:59,`wx0000000000000000,`1900000109,`0,`,`4200000000202101280000000000,`ORD01,`oAAAA,`NATIVE,"
    '`SUCCESS,`OTHERS,`CNY,`10.00,`2.00,`0,`0,`0.00,`0.00,`,`,`5" 屏,`a"b,`0.06000,`0.60%,`12.00,`0.00,`\r\n'
    "`2021-01-28 15:35:18,`wx0000000000000000,`1900000109,`0,`,`4200000000202101280000000001,`ORD02,`oAAAA,`JSAPI,"
    "`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50000000002021012800000001,`REF02,`3.00,`0.00,`ORIGINAL,`SUCCESS,`测试,`,"
    "`-0.01800,`0.60%,`0.00,`3.00,`\r\n"
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    "`2,`10.00,`3.00,`0.00,`0.04200,`12.00,`3.00\r\n"
)
ALIPAY = (
    "#支付宝业务明细查询\r\n#账号：[20880000000000000156]\r\n"
    "#起始日期：[2017年08月31日 00:00:00]   终止日期：[2017年09月01日 00:00:00]\r\n"
    "#-----------------------------------------业务明细列表----------------------------------------\r\n"
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注\r\n"
    "2017083100000000000000000001\t,ORD01\t,交易\t,挂号，二楼,2017-08-31 00:06:14,2017-08-31 00:06:15,\t,\t,\t,\t,"
    "*甲(137****0000)\t,20.00,19.00,0.50,0.00,0.00,1.00,0.00,,0.00\t,0.00,\t,-0.11,0.00,鎴縗 备注\r\n"
    "2017083100000000000000000001\t,ORD01\t,退款\t,挂号,2017-08-31 09:00:00,2017-08-31 09:00:01,\t,\t,\t,\t,"
    "*甲(137****0000)\t,-5.00,-5.00,0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,REF01\t,0.03,0.00,\r\n"
    "#-----------------------------------------业务明细列表结束------------------------------------\r\n"
    "#交易合计：1笔，商家实收共19.00元，商家优惠共1.00元\r\n#退款合计：1笔，商家实收退款共-5.00元，商家优惠退款共0.00元\r\n"
    "#导出时间：[2017年09月01日 09:00:00]\r\n"
)
ALIPAY_SUMMARY = (
    "#支付宝业务汇总查询\r\n#账号：[20880000000000000156]\r\n"
    "#起始日期：[2017年08月31日 00:00:00]   终止日期：[2017年09月01日 00:00:00]\r\n"
    "#-----------------------------------------业务汇总列表----------------------------------------\r\n"
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,"
    "分润（元）,实收净额（元）\r\n合计,,1,1,15.00,14.00,0.00,1.00,0.00,-0.08,0.00,13.92\r\n"
    "#----------------------------------------业务汇总列表结束-----------------------------------\r\n"
    "#导出时间：[2017年09月01日 09:00:00]\r\n"
)


def _transaction(number: int, kind: str, amount: int, fee: int, source: dict[str, Any]) -> dict[str, Any]:
    details = [{"amount": fee, "application": None, "currency": "usd", "description": "fees", "type": "stripe_fee"}]
    return {
        "id": f"txn_{number}", "object": "balance_transaction", "amount": amount, "available_on": 1_700_438_400,
        "created": 1_700_000_000 + number, "currency": "usd", "description": None, "exchange_rate": None, "fee": fee,
        "fee_details": details if fee else [], "net": amount - fee, "reporting_category": kind, "source": source,
        "status": "pending", "type": kind,
    }  # fmt: skip


STRIPE = {
    "object": "list", "url": "/v1/balance_transactions", "has_more": False,
    "data": [
        _transaction(1, "charge", 2_000, 88, {
            "id": "ch_1", "object": "charge", "amount": 2_000, "amount_captured": 2_000, "amount_refunded": 0,
            "currency": "usd", "payment_intent": "pi_1", "metadata": {"attempt_no": "att_1"},
        }),
        _transaction(2, "refund", -500, 0, {
            "id": "re_1", "object": "refund", "amount": 500, "charge": "ch_1", "currency": "usd",
            "payment_intent": "pi_1", "metadata": {"refund_no": "ref_1", "attempt_no": "att_1"},
        }),
    ],
}  # fmt: skip


def rows(name: str, path: Path, account: str, day: date) -> list[tuple[Any, ...]]:
    out = path.with_suffix(".parquet")
    layouts.normalise(layouts.load(name), [path], out, account=account, day=day)
    return duckdb.sql(f"FROM read_parquet('{out}') SELECT {_COLUMNS} ORDER BY line").fetchall()


def test_a_trade_bill_of_wechat_pay(tmp_path: Path) -> None:
    path, day = tmp_path / "bill.csv", date(2021, 1, 28)
    path.write_bytes(WECHAT.encode())
    assert rows("wechat_trade", path, "1900000109", day) == [
        (
            "payment", "ORD01", "4200000000202101280000000000", "", "2021-01-28 15:59:59", "CNY", 1_200, 800,
            1_000, 6, "succeeded", 2,
        ),
        (
            "refund", "REF02", "50000000002021012800000001", "ORD02", "2021-01-28 07:35:18", "CNY", -300,
            -300, -300, -2, "succeeded", 3,
        ),
    ]  # fmt: skip
    path.write_bytes(WECHAT.replace("`2,`10.00", "`2,`10.01").encode())
    with pytest.raises(BillRefused):
        rows("wechat_trade", path, "1900000109", day)


def test_a_business_detail_of_alipay(tmp_path: Path) -> None:
    path, day = tmp_path / "bill.zip", date(2017, 8, 31)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("20880000000000000156_20170831_业务明细.csv", ALIPAY.encode("gbk"))
        archive.writestr("20880000000000000156_20170831_业务明细(汇总).csv", ALIPAY_SUMMARY.encode("gbk"))
    assert rows("alipay_business_detail", path, "2088000000000000", day) == [
        (
            "payment", "ORD01", "2017083100000000000000000001", "", "2017-08-30 16:06:15", "CNY", 2_000, 1_850,
            1_900, 11, "succeeded", 6,
        ),
        (
            "refund", "REF01", "2017083100000000000000000001", "ORD01", "2017-08-31 01:00:01", "CNY", -500,
            -500, -500, -3, "succeeded", 7,
        ),
    ]  # fmt: skip


def test_balance_transactions_of_stripe(tmp_path: Path) -> None:
    path = tmp_path / "transactions.json"
    path.write_bytes(orjson.dumps(STRIPE))
    assert rows("stripe_balance", path, "acct_1", date(2023, 11, 14)) == [
        (
            "payment", "att_1", "pi_1", "", "2023-11-14 22:13:21", "USD", 2_000, 2_000, 2_000, 88,
            "succeeded", 1,
        ),
        (
            "refund", "ref_1", "re_1", "att_1", "2023-11-14 22:13:22", "USD", -500, -500, -500, 0,
            "succeeded", 2,
        ),
    ]  # fmt: skip
