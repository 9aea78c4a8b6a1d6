"""What WeChat Pay says of orders, refunds and transfers, in the words of all channels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from hutong.channels.codes.codes import Codes
from hutong.channels.model import About, ActionKind, ChannelAnswer, ChannelState, PayerAction, Payout, text
from hutong.channels.wechat.client import NoWord, read_amount, read_currency, read_instant, read_object
from hutong.channels.wechat.credentials import TransferScene, Unproven
from hutong.errors import InvalidParameter

PAYOUT_NO = re.compile(r"([a-z]{3})_([0-9a-z]{1,29})")
_BILL_NO = re.compile(r"([a-z]{3})([0-9a-z]{1,29})")
_UNNAMED_MINOR_MAX = 199_999
"""From 2,000 yuan on WeChat wants the payee's name."""


def bill_no(payout_no: str) -> str:
    """Our number of a payout without its underscore, which WeChat does not take here.

    Errors:
        InvalidParameter: not a number of this kind.
    """
    match = PAYOUT_NO.fullmatch(payout_no)
    if match is None:
        raise InvalidParameter("WeChat Pay does not take this number", param="payout_no")
    return match[1] + match[2]


def payout_no(number: str) -> str:
    """Undoes `bill_no`; what it did not make stays as it is."""
    match = _BILL_NO.fullmatch(number)
    return f"{match[1]}_{match[2]}" if match else number


def transfer(payout: Payout, *, appid: str, scene: TransferScene | None) -> dict[str, Any]:
    """A transfer as WeChat takes it.

    Errors:
        InvalidParameter: not one that WeChat could take.
    """
    openid = payout.payee.get("openid", "")
    if scene is None:
        raise InvalidParameter("this account has no transfer scene", param="transfer_scene")
    if payout.currency != "CNY":
        raise InvalidParameter("WeChat Pay takes CNY only", param="currency")
    if not 0 < payout.amount_minor <= _UNNAMED_MINOR_MAX:
        raise InvalidParameter("a transfer is of less than 2,000 yuan", param="amount_minor")
    if not (openid.isascii() and openid.isprintable() and 0 < len(openid) <= 64):
        raise InvalidParameter("a transfer needs the payee's openid", param="payee.openid")
    return {
        "appid": appid,
        "out_bill_no": bill_no(payout.payout_no),
        "transfer_scene_id": scene.id,
        "openid": openid,
        "transfer_amount": payout.amount_minor,
        "transfer_remark": payout.remark[:32] or "payout",
        "notify_url": payout.notify_url,
        "transfer_scene_report_infos": [
            {"info_type": kind, "info_content": content} for kind, content in scene.report.items()
        ],
    }


class Reader:
    """Reads what is proven to be WeChat's; `NoWord` for what is not about this account or not about this number."""

    def __init__(self, mchid: str, appid: str, codes: Codes) -> None:
        self._mchid, self._appid = mchid, appid
        self._codes = codes

    def refusal(self, interface: str, status: int, answer: Mapping[str, Any]) -> ChannelAnswer:
        """What a code amounts to; without the status of a refusal it is none."""
        code, message = text(answer.get("code"), 64), text(answer.get("message"), 256)
        if code is None or status < 400:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code=code or f"http_{status}", channel_message=message)
        return self._answer(interface, code, message)

    def order(self, said: Mapping[str, Any], attempt_no: str) -> ChannelAnswer:
        if (said.get("mchid"), said.get("appid")) != (self._mchid, self._appid):
            raise NoWord("not_ours", "the answer is about another merchant or application")
        _must_be(said.get("out_trade_no"), attempt_no, "order")
        amount = said.get("amount") if isinstance(said.get("amount"), dict) else {}
        return self._answer(
            "trade_state",
            text(said.get("trade_state"), 64),
            text(said.get("trade_state_desc"), 256),
            amount_minor=read_amount(amount.get("total")),  # type: ignore[union-attr]
            currency=read_currency(amount.get("currency")),  # type: ignore[union-attr]
            channel_order_no=text(said.get("transaction_id"), 64),
            happened_at=read_instant(said.get("success_time")),
        )

    def refund(self, said: Mapping[str, Any], refund_no: str) -> ChannelAnswer:
        _must_be(said.get("out_refund_no"), refund_no, "refund")
        amount = said.get("amount") if isinstance(said.get("amount"), dict) else {}
        return self._answer(
            "refund_status",
            text(said.get("status", said.get("refund_status")), 64),
            None,
            amount_minor=read_amount(amount.get("refund")),  # type: ignore[union-attr]
            currency=read_currency(amount.get("currency", "CNY")),  # type: ignore[union-attr]
            channel_order_no=text(said.get("refund_id"), 64),
            happened_at=read_instant(said.get("success_time")),
        )

    def payout(self, said: Mapping[str, Any], number: str) -> ChannelAnswer:
        _must_be(said.get("out_bill_no"), number, "transfer")
        if said.get("mch_id") != self._mchid or said.get("appid", self._appid) != self._appid:
            raise NoWord("not_ours", "the answer is about another merchant or application")
        return self._answer(
            "transfer_state",
            text(said.get("state"), 64),
            text(said.get("fail_reason"), 256),
            amount_minor=read_amount(said.get("transfer_amount")),
            currency="CNY",
            channel_order_no=text(said.get("transfer_bill_no"), 64),
            happened_at=read_instant(said.get("update_time")),
        )

    def payout_accepted(self, said: Mapping[str, Any], payout: Payout) -> ChannelAnswer:
        """The answer to a transfer's submission: nothing in it is final, whatever its word."""
        _must_be(said.get("out_bill_no"), bill_no(payout.payout_no), "transfer")
        package, state = text(said.get("package_info"), 512), text(said.get("state"), 64)
        action = None
        if package is not None:
            shown = {"mchId": self._mchid, "appId": self._appid, "package": package}
            action = PayerAction(ActionKind.SDK, orjson.dumps(shown).decode())
        meaning = self._codes.read("transfer_state", state or "")
        pending = meaning.state is ChannelState.PENDING
        return ChannelAnswer(
            ChannelState.PENDING if pending else ChannelState.UNKNOWN,
            channel_order_no=text(said.get("transfer_bill_no"), 64),
            channel_code=state,
            code=meaning.unified_code,
            action=action if pending else None,
        )

    def notification(
        self, body: bytes, decrypt: Callable[[Mapping[str, object]], bytes]
    ) -> tuple[About, str, str, ChannelAnswer]:
        """What a proven notification is about: kind, our number, the message's own id, and what it says.

        Errors:
            Unproven: it cannot be decrypted or read.
        """
        envelope = read_object(body)
        notification_id, resource = text(envelope.get("id"), 64), envelope.get("resource")
        if notification_id is None or not isinstance(resource, dict):
            raise Unproven("unreadable")
        said = read_object(decrypt(resource))
        kind = resource.get("original_type", "transaction")
        if kind == "refund":
            if said.get("mchid") != self._mchid:
                raise NoWord("not_ours", "the message is about another merchant")
            number = _number(said.get("out_refund_no"))
            return About.REFUND, number, notification_id, self.refund(said, number)
        if kind == "mch_payment":
            number = _number(said.get("out_bill_no"))
            return About.PAYOUT, payout_no(number), notification_id, self.payout(said, number)
        number = _number(said.get("out_trade_no"))
        return About.PAYMENT, number, notification_id, self.order(said, number)

    def _answer(self, interface: str, code: str | None, message: str | None, **said: Any) -> ChannelAnswer:
        meaning = self._codes.read(interface, code or "", message=message or "")
        whole = all(said.get(name) is not None for name in ("amount_minor", "currency", "channel_order_no"))
        if said and meaning.state is ChannelState.SUCCEEDED and not whole:
            raise NoWord("unreadable", "a success without an amount or without a number")
        return ChannelAnswer(
            meaning.state,
            channel_code=code,
            channel_message=message,
            code=meaning.unified_code,
            retryable=meaning.retryable,
            **said,
        )


def _must_be(said: object, ours: str, what: str) -> None:
    if said != ours:
        raise NoWord("not_ours", f"the answer is about another {what}")


def _number(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Za-z_-]{4,32}", value):
        raise Unproven("unreadable")
    return value
