"""WeChat Pay's bills, byte for byte, and their download by an address that works once.

A bill has a byte order mark, CRLF, a back-tick before each value, and totals in the last line.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791866 (trade bill), 4012791867 (fund-flow bill).
"""

from __future__ import annotations

import gzip
import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from aiohttp import web

from hutong.clock import BEIJING
from hutong.money import to_major
from hutong.sandbox.bill import Entry, payment_entry, refund_entry
from hutong.sandbox.records import OutgoingState, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.wechat.keys import OPENIDS
from hutong.sandbox.wechat.parties import MERCHANT, PARTY, PROVIDER, Party
from hutong.sandbox.wechat.protocol import Answer, WeChatRefusal

TRADE, FUND_FLOW, PARTNER_TRADE = "trade", "fund_flow", "partner_trade"
"""The kinds of bills; the last one is what a service provider gets for the merchant under it."""
_MADE_AT = time(9)
_KEPT = timedelta(days=92)
FEE_RATE = Decimal("0.006")
_TRADE = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
_TRADE_TOTALS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
_FLOW = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,"
    "业务凭证号"
)
_FLOW_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
_FLOW_TYPES = {
    "payment": ("交易", "收入"),
    "refund": ("退款", "支出"),
    "payout": ("商家转账", "支出"),
}
REFUND_STATES = {
    OutgoingState.PENDING: "PROCESSING",
    OutgoingState.SUCCEEDED: "SUCCESS",
    OutgoingState.FAILED: "ABNORMAL",
}


def bill_entries(store: Store, kind: str, day: date) -> list[Entry]:
    """Return the rows of a day in Beijing: payments by the time of payment, refunds by the time of acceptance.

    A service provider's bill of its own funds has no rows: payers pay the merchant under it.
    """
    start, party = datetime.combine(day, time(0), BEIJING), PROVIDER if kind == PARTNER_TRADE else MERCHANT
    if kind == f"partner_{FUND_FLOW}":
        return []
    rows = [
        payment_entry(order, fee_minor=_fee(order.settled_minor), state="SUCCESS", data=_data(order))
        for order in store.orders.values()
        if _within(order.paid_at, start) and order.data["party"] is party
    ]
    rows += [
        refund_entry(
            refund,
            fee_minor=-_fee(refund.settled_minor),
            state=REFUND_STATES[refund.state],
            at=refund.created_at,
            data=_data(refund.order),
        )
        for refund in store.refunds.values()
        if _within(refund.created_at, start) and refund.order.data["party"] is party
    ]
    if kind == FUND_FLOW:
        rows = [entry for entry in rows if entry.state == "SUCCESS"]
        rows += [
            Entry(
                kind="payout",
                number=payout.payout_no,
                channel_no=payout.channel_payout_no,
                order_no="",
                channel_order_no="",
                amount_minor=payout.amount_minor,
                order_amount_minor=payout.amount_minor,
                currency=payout.currency,
                fee_minor=0,
                state="SUCCESS",
                at=payout.changed_at or payout.created_at,
                description="",
                method="transfer",
                data={},
            )
            for payout in store.payouts.values()
            if payout.state is OutgoingState.SUCCEEDED and _within(payout.changed_at, start)
        ]
    return sorted(rows, key=lambda entry: (entry.at, entry.number))


def _data(order: SandboxOrder) -> dict[str, Any]:
    return {"party": order.data["party"], "order": order.content}


def _fee(amount_minor: int) -> int:
    return int((amount_minor * FEE_RATE).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _within(instant: datetime | None, start: datetime) -> bool:
    return instant is not None and start <= instant < start + timedelta(days=1)


def write_bill(kind: str, rows: Sequence[Entry]) -> bytes:
    """Write a bill, unpacked."""
    lines = _trade(rows) if kind in (TRADE, PARTNER_TRADE) else _flow(rows)
    return b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode()


def _trade(rows: Sequence[Entry]) -> list[str]:
    paid = [row for row in rows if row.kind == "payment"]
    refunded = [row for row in rows if row.kind == "refund"]
    totals = (
        str(len(rows)),
        _yuan(sum(row.settled_minor for row in paid)),
        _yuan(sum(row.settled_minor for row in refunded)),
        _yuan(sum(row.prepaid_minor for row in refunded)),
        f"{_yuan(sum(row.fee_minor for row in rows))}000",
        _yuan(sum(row.amount_minor for row in paid)),
        _yuan(sum(row.amount_minor for row in refunded)),
    )
    return [_TRADE, *(_ticked(_trade_row(row)) for row in rows), _TRADE_TOTALS, _ticked(totals)]


def _trade_row(row: Entry) -> tuple[str, ...]:
    is_refund = row.kind == "refund"
    amount, settled, prepaid = map(_yuan, (row.amount_minor, row.settled_minor, row.prepaid_minor))
    party: Party = row.data.get("party", MERCHANT)
    app = row.data.get("order", {}).get("appid", party.apps[0])
    nothing = "0.00"
    return (
        _time(row.at), app, party.mchid, party.sub_mchid or "0", "", row.channel_order_no, row.order_no, OPENIDS[app],
        row.method, "REFUND" if is_refund else row.state, "OTHERS", row.currency,
        nothing if is_refund else settled, nothing if is_refund else prepaid,
        row.channel_no if is_refund else "0", row.number if is_refund else "0",
        settled if is_refund else nothing, prepaid if is_refund else nothing,
        "ORIGINAL" if is_refund else "", row.state if is_refund else "",
        _goods(row.description), "", f"{_yuan(row.fee_minor)}000", "0.60%",
        nothing if is_refund else amount, amount if is_refund else nothing, "",
    )  # fmt: skip


def _flow(rows: Sequence[Entry]) -> list[str]:
    balance, lines = 100_000_000, []
    income: list[int] = []
    expense: list[int] = []
    moves = [(row, *_FLOW_TYPES[row.kind], row.settled_minor) for row in rows]
    moves += [
        (row, "扣除交易手续费", "支出" if row.fee_minor > 0 else "收入", abs(row.fee_minor))
        for row in rows
        if row.fee_minor
    ]
    for number, (row, name, direction, amount_minor) in enumerate(moves):
        (income if direction == "收入" else expense).append(amount_minor)
        balance += amount_minor if direction == "收入" else -amount_minor
        values = (
            _time(row.at), row.channel_no, f"{row.channel_no[:20]}{number:08d}", name, name, direction,
            _yuan(amount_minor), _yuan(balance), "system", "", row.number,
        )  # fmt: skip
        lines.append(_ticked(values))
    totals = (str(len(moves)), str(len(income)), _yuan(sum(income)), str(len(expense)), _yuan(sum(expense)))
    return [_FLOW, *lines, _FLOW_TOTALS, _ticked(totals)]


def _ticked(values: Iterable[str]) -> str:
    return ",".join(f"`{value}" for value in values)


def _yuan(amount_minor: int) -> str:
    return to_major(amount_minor, "CNY")


def _time(instant: datetime) -> str:
    return instant.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _goods(description: str) -> str:
    """Write a description without characters of the bill's own structure."""
    return "".join(" " if character in "`,\r\n" else character for character in description)


class BillDownloads:
    """Bills by kind and day. A bill with planted differences is ready at once, others from the next morning on."""

    def __init__(self, store: Store, make: Callable[[str, date], bytes]) -> None:
        self._store = store
        self._make = make
        self._waiting: dict[str, bytes] = {}

    def prepare(self, kind: str, request: web.Request, _body: bytes) -> Answer:
        """Make a bill ready, and answer with its hash and the address of its download."""
        party = request[PARTY]
        if "sub_mchid" in request.query:
            party.check_sub(request.query)
        if party is not MERCHANT:
            kind = f"partner_{kind}"
        day, packing = date.fromisoformat(request.query["bill_date"]), request.query.get("tar_type")
        now = self._store.clock.now().astimezone(BEIJING)
        if (kind, day.isoformat()) not in self._store.planted:
            if day >= now.date() or now.date() - day > _KEPT:
                raise WeChatRefusal(400, "PARAM_ERROR", "账单日期不在可查询范围内")
            if now < datetime.combine(day + timedelta(days=1), _MADE_AT, BEIJING):
                raise WeChatRefusal(
                    400, "STATEMENT_CREATING", "账单生成中，请先检查当前商户号在指定日期内是否有成功的交易"
                )
        bill = self._make(kind, day)
        if bill.count(b"\r\n") <= 3:
            raise WeChatRefusal(400, "NO_STATEMENT_EXIST", "账单文件不存在")
        token = secrets.token_urlsafe(24)
        self._waiting[token] = gzip.compress(bill, mtime=0) if packing else bill
        return 200, {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(bill, usedforsecurity=False).hexdigest(),
            "download_url": f"{request.url.origin()}/v3/billdownload/file?token={token}",
        }

    def fetch(self, request: web.Request, _body: bytes) -> Answer:
        """Answer with a bill, once."""
        bill = self._waiting.pop(request.query.get("token", ""), None)
        if bill is None:
            raise WeChatRefusal(400, "INVALID_REQUEST", "token无效或已过期")
        return 200, bill
