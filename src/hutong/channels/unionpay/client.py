"""UnionPay's HTTP client: signed forms out, proven answers back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from hutong.channels.errors import ChannelUnreachable, NoAnswer, NotAuthentic
from hutong.channels.http import Http, HttpReply
from hutong.channels.model import ChannelAnswer
from hutong.channels.unionpay.credentials import UnionPayCredentials, UnionPayKeys
from hutong.channels.unionpay.requests import RESERVE_TYPE, query_fields
from hutong.channels.unionpay.responses import UnionPayResponses, read_answer

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


class UnionPayClient:
    """The calls of one account."""

    def __init__(
        self, credentials: UnionPayCredentials, keys: UnionPayKeys, http: Http, responses: UnionPayResponses
    ) -> None:
        self._credentials = credentials
        self._keys = keys
        self._http = http
        self._responses = responses

    def url(self, interface: str) -> str:
        return f"{self._credentials.base_url}/gateway/api/{interface}.do"

    async def call(self, interface: str, fields: Mapping[str, str], now: datetime) -> dict[str, str]:
        """Send one request and return the fields of its answer, proven to be UnionPay's and about this order.

        Errors:
            NoAnswer: there is no answer, or it is not proven.
        """
        reply = await self.send(interface, fields)
        answer = self._verified(reply.status, reply.body, now)
        if reply.status != 200:
            raise NoAnswer(answer.get("respCode") or f"http_{reply.status}", answer.get("respMsg"))
        accepted = answer.get("respCode") == "00"
        for name in ("merId", "orderId", "txnTime"):
            # A refusal need not repeat the fields of the request, but whatever it repeats must be ours.
            if answer.get(name) != fields[name] and (accepted or name in answer):
                raise NoAnswer("not_ours", "the answer is about another order or merchant")
        return answer

    async def query(self, interface: str, our_no: str, placed_at: datetime, *, now: datetime) -> ChannelAnswer:
        """Query a payment, a refund or a void by our number and its time.

        Args:
            interface: The code map's name for the state: "trade_state", "authorized_state" or "refund_state".
        """
        try:
            answer = await self.call("queryTrans", query_fields(our_no, placed_at, self._credentials), now)
            if answer.get("respCode") == "00":
                code, message = answer.get("origRespCode"), answer.get("origRespMsg")
                if answer.get("txnType") == RESERVE_TYPE:
                    interface = "authorized_state"  # whatever it is taken for: the money is not taken
                return self._responses.outcome(interface, answer, code, message, placed_at)
        except NoAnswer as error:
            return error.answer
        return self._responses.code("query", answer.get("respCode"), answer.get("respMsg"))

    async def send(self, interface: str, fields: Mapping[str, str]) -> HttpReply:
        """Sign and send one request and return its unverified answer.

        Errors:
            NoAnswer: there is none.
        """
        try:
            return await self._http.call("POST", self.url(interface), headers=_HEADERS, body=self._body(fields))
        except ChannelUnreachable as error:
            raise NoAnswer.unreachable(error) from None

    async def download(self, fields: Mapping[str, str], now: datetime, *, into: Path, limit: int) -> dict[str, str]:
        """Request a file and return the fields of the answer, which hold it, proven to be UnionPay's.

        Args:
            into: Where the answer is written while it is received.
            limit: Longest answer, in bytes.

        Errors:
            NoAnswer: there is no answer, or it is not proven.
        """
        url, body = self._credentials.file_url, self._body(fields)
        try:
            reply = await self._http.download("POST", url, headers=_HEADERS, into=into, limit=limit, body=body)
            if reply.status != 200:
                raise NoAnswer(f"http_{reply.status}")
            return self._verified(reply.status, await asyncio.to_thread(into.read_bytes), now)
        except ChannelUnreachable as error:
            raise NoAnswer.unreachable(error) from None
        finally:
            await asyncio.to_thread(into.unlink, missing_ok=True)

    def _verified(self, status: int, body: bytes, now: datetime) -> dict[str, str]:
        try:
            answer = read_answer(body)
            self._keys.verify(answer, now=now)
        except NotAuthentic as error:
            message = f"an answer with status {status} is not proven to come from UnionPay"
            raise NoAnswer(str(error), message) from None
        return answer

    def _body(self, fields: Mapping[str, str]) -> bytes:
        return urlencode(self._keys.sign(fields)).encode()
