"""The validation of requests by WeChat's rules: lengths, alphabets, ranges, required fields of each product.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native), 4012791856 (JSAPI), 4012791834 (H5),
    4012382150 (code payment), 4012791862 (refund), 4012716434 (transfer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hutong.sandbox.wechat.parties import MERCHANT, Party
from hutong.sandbox.wechat.protocol import WeChatRefusal

_LIFE_MIN = timedelta(minutes=1)
_ORDER_NO = re.compile(r"[0-9A-Za-z_\-|*]{6,32}")
_REFUND_NO = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}")
_BILL_NO = re.compile(r"[0-9A-Za-z]{1,32}")
_NOTIFY_URL = re.compile(r"https?://[^?#]+")


def check_order(content: Mapping[str, Any], product: str, now: datetime, party: Party) -> datetime | None:
    """Check an order; return its expiry, postponed like WeChat's if it is less than a minute away."""
    _check_texts(content, *((name, 32) for name in (*party.names, *party.required_apps)), ("description", 127))
    _check_number(content, "out_trade_no", _ORDER_NO, "商户订单号格式错误")
    _check_amount(content.get("amount"), "total", "/body/amount/total")
    _check_currency(content["amount"])
    if product != "codepay":
        _check_texts(content, ("notify_url", 255))
        _check_notify_url(content)
    party.check_order(content)
    if product == "jsapi":
        party.check_payer(content)
    _check_product(content, product)
    if "time_expire" not in content:
        return None
    try:
        expires_at = datetime.fromisoformat(content["time_expire"])
        if expires_at.tzinfo is None:
            raise ValueError
    except (ValueError, TypeError):
        raise WeChatRefusal(400, "PARAM_ERROR", "订单失效时间错误", field="/body/time_expire") from None
    return max(expires_at, now + _LIFE_MIN)


def _check_product(content: Mapping[str, Any], product: str) -> None:
    payer, scene = content.get("payer"), content.get("scene_info")
    if product == "codepay":
        code = payer.get("auth_code") if isinstance(payer, dict) else None
        if not isinstance(code, str) or not re.fullmatch(r"1[0-5][0-9]{16}", code):
            raise WeChatRefusal(400, "AUTH_CODE_ERROR", "付款码格式错误", field="/body/payer/auth_code")
        if not isinstance(scene, dict) or not isinstance(scene.get("store_info"), dict):
            raise WeChatRefusal(400, "PARAM_ERROR", "缺少场景信息", field="/body/scene_info")
    if product == "h5":
        info = scene.get("h5_info") if isinstance(scene, dict) else None
        if not isinstance(scene, dict) or not _is_text(scene.get("payer_client_ip"), 45) or not isinstance(info, dict):
            raise WeChatRefusal(400, "PARAM_ERROR", "缺少场景信息", field="/body/scene_info")


def check_refund(content: Mapping[str, Any]) -> None:
    """Check the form of a refund. Its order's limits are checked with the order."""
    if not (_is_text(content.get("out_trade_no"), 32) or _is_text(content.get("transaction_id"), 32)):
        raise WeChatRefusal(400, "PARAM_ERROR", "缺少订单号", field="/body/out_trade_no")
    _check_number(content, "out_refund_no", _REFUND_NO, "商户退款单号格式错误")
    amount = content.get("amount")
    _check_amount(amount, "refund", "/body/amount/refund")
    _check_amount(amount, "total", "/body/amount/total")
    _check_currency(content["amount"])
    if "reason" in content and not _is_text(content["reason"], 80):
        raise WeChatRefusal(400, "PARAM_ERROR", "退款原因过长", field="/body/reason")
    if "notify_url" in content:
        _check_texts(content, ("notify_url", 256))
        _check_notify_url(content)


def check_transfer(content: Mapping[str, Any]) -> None:
    """Check the form of a transfer."""
    _check_texts(content, ("appid", 32), ("transfer_scene_id", 36), ("openid", 64), ("transfer_remark", 32))
    _check_number(content, "out_bill_no", _BILL_NO, "商户单号格式错误")
    _check_amount(content, "transfer_amount", "/body/transfer_amount")
    if content["transfer_amount"] >= 200_000 and not content.get("user_name"):
        raise WeChatRefusal(400, "PARAM_ERROR", "转账金额大于等于2000元时，收款用户姓名必填", field="/body/user_name")
    if content["appid"] not in MERCHANT.apps:
        raise WeChatRefusal(400, "INVALID_REQUEST", "商户号与appid不匹配")
    infos = content.get("transfer_scene_report_infos")
    if not isinstance(infos, list) or not all(
        isinstance(info, dict) and _is_text(info.get("info_type"), 15) and _is_text(info.get("info_content"), 32)
        for info in infos
    ):
        raise WeChatRefusal(400, "PARAM_ERROR", "转账场景报备信息错误", field="/body/transfer_scene_report_infos")


def _check_texts(content: Mapping[str, Any], *limits: tuple[str, int]) -> None:
    for name, limit in limits:
        if not _is_text(content.get(name), limit):
            raise WeChatRefusal(400, "PARAM_ERROR", "输入源长度不符合规则", field=f"/body/{name}")


def _is_text(value: object, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


def _check_number(content: Mapping[str, Any], name: str, form: re.Pattern[str], message: str) -> None:
    value = content.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise WeChatRefusal(400, "PARAM_ERROR", message, field=f"/body/{name}")


def _check_amount(amount: object, name: str, where: str) -> None:
    value = amount.get(name) if isinstance(amount, dict) else None
    if type(value) is not int or not 0 < value < 2**31:
        raise WeChatRefusal(400, "PARAM_ERROR", "金额错误", field=where)


def _check_currency(amount: Mapping[str, Any]) -> None:
    if amount.get("currency", "CNY") != "CNY":
        raise WeChatRefusal(400, "PARAM_ERROR", "币种错误", field="/body/amount/currency")


def _check_notify_url(content: Mapping[str, Any]) -> None:
    if not _NOTIFY_URL.fullmatch(content["notify_url"]):
        raise WeChatRefusal(400, "PARAM_ERROR", "通知地址错误", field="/body/notify_url")
