"""Where the WeChat Pay simulator gives its bills out: an address that works once, and the hash of what is behind it."""

from __future__ import annotations

import gzip
import hashlib
import secrets
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from aiohttp import web

from hutong.sandbox.store import Book
from hutong.sandbox.wechat.wire import BEIJING, Answer, Refusal

_MADE_AT = time(9)
_KEPT = timedelta(days=92)


class BillDesk:
    """Bills by kind and day. One that was made by the control API is ready at once; others from the next morning on."""

    def __init__(self, book: Book, make: Callable[[str, date], bytes]) -> None:
        self._book = book
        self._make = make
        self._waiting: dict[str, bytes] = {}

    def ask(self, kind: str, request: web.Request, _body: bytes) -> Answer:
        try:
            day = date.fromisoformat(request.query.get("bill_date", ""))
        except ValueError:
            raise Refusal(400, "PARAM_ERROR", "账单日期格式错误", field="bill_date") from None
        packing = request.query.get("tar_type")
        if packing not in (None, "GZIP"):
            raise Refusal(400, "PARAM_ERROR", "压缩类型错误", field="tar_type")
        now = self._book.clock.now().astimezone(BEIJING)
        if (kind, day.isoformat()) not in self._book.planted:
            if day >= now.date() or now.date() - day > _KEPT:
                raise Refusal(400, "PARAM_ERROR", "账单日期不在可查询范围内", field="bill_date")
            if now < datetime.combine(day + timedelta(days=1), _MADE_AT, BEIJING):
                raise Refusal(400, "STATEMENT_CREATING", "账单生成中，请先检查当前商户号在指定日期内是否有成功的交易")
        bill = self._make(kind, day)
        if bill.count(b"\r\n") <= 3:
            raise Refusal(400, "NO_STATEMENT_EXIST", "账单文件不存在")
        token = secrets.token_urlsafe(24)
        self._waiting[token] = gzip.compress(bill, mtime=0) if packing else bill
        return 200, {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(bill, usedforsecurity=False).hexdigest(),
            "download_url": f"{request.url.origin()}/v3/billdownload/file?token={token}",
        }

    def fetch(self, request: web.Request, _body: bytes) -> Answer:
        bill = self._waiting.pop(request.query.get("token", ""), None)
        if bill is None:
            raise Refusal(400, "INVALID_REQUEST", "token无效或已过期")
        return 200, bill
