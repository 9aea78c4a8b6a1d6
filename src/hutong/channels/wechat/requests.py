"""WeChat Pay's products: what an order asks for, and what the payer gets to do.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native), 4012791856 (JSAPI), 4012791834 (H5),
    4013070176 (App), 4012382150 (code payment); 4012365341 and 4013070351 (the parameters that pages and apps sign).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import orjson

from hutong.channels.capability import Method
from hutong.channels.model import ActionKind, PayerAction, PayRequest
from hutong.channels.wechat.credentials import WeChatKeys
from hutong.errors import InvalidParameter

BEIJING = timezone(timedelta(hours=8))
SUBJECT_LENGTH_MAX = 127

METHODS: Mapping[str, Method] = {
    "wechat_native": Method(ActionKind.QR_CODE),
    "wechat_jsapi": Method(ActionKind.SDK, requires=frozenset({"openid"})),
    "wechat_h5": Method(ActionKind.REDIRECT, requires=frozenset({"client_ip"})),
    "wechat_app": Method(ActionKind.SDK),
    "wechat_code": Method(None, requires=frozenset({"auth_code"})),
}

PATHS: Mapping[str, str] = {
    "wechat_native": "/v3/pay/transactions/native",
    "wechat_jsapi": "/v3/pay/transactions/jsapi",
    "wechat_h5": "/v3/pay/transactions/h5",
    "wechat_app": "/v3/pay/transactions/app",
    "wechat_code": "/v3/pay/transactions/codepay",
}


def content(request: PayRequest, *, mchid: str, appid: str) -> dict[str, Any]:
    """The order as WeChat takes it. Placing again must repeat it, so nothing in it depends on when it is sent.

    Errors:
        InvalidParameter: the payer's part is missing or not of its form.
    """
    order: dict[str, Any] = {
        "appid": appid,
        "mchid": mchid,
        "description": request.subject[:SUBJECT_LENGTH_MAX],
        "out_trade_no": request.attempt_no,
        "amount": {"total": request.amount_minor, "currency": request.currency},
    }
    if request.method == "wechat_code":
        # WeChat does not notify of a code payment, and the code itself lives for a minute only.
        order["payer"] = {"auth_code": _payer(request, "auth_code")}
        order["scene_info"] = {"store_info": {"out_id": "online"}}
        return order
    order["time_expire"] = request.expires_at.astimezone(BEIJING).isoformat(timespec="seconds")
    order["notify_url"] = request.notify_url
    if request.method == "wechat_jsapi":
        order["payer"] = {"openid": _payer(request, "openid")}
    elif request.method == "wechat_h5":
        # The address that is kept with the try. `payer_ip` is left out everywhere: placing again must repeat the
        # order, and by then the payer may have moved.
        order["scene_info"] = {"payer_client_ip": _payer(request, "client_ip"), "h5_info": {"type": "Wap"}}
    return order


def _payer(request: PayRequest, name: str) -> str:
    value = request.payer.get(name, "")
    if name == "auth_code":
        good = value.isascii() and value.isdigit() and len(value) == 18 and "10" <= value[:2] <= "15"
    elif name == "client_ip":
        good = _is_address(value)
    else:
        good = value.isascii() and 0 < len(value) <= 128 and value.isprintable()
    if not good:
        raise InvalidParameter(f"this method needs the payer's {name}", param=f"payer.{name}")
    return value


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def action(
    request: PayRequest, answer: Mapping[str, Any], keys: WeChatKeys, *, now: datetime, nonce: Callable[[], str]
) -> PayerAction | None:
    """What the payer does with a placed order; None if the answer does not hold it."""
    if request.method == "wechat_native":
        code_url = _text(answer, "code_url", 512)
        return PayerAction(ActionKind.QR_CODE, code_url) if code_url else None
    if request.method == "wechat_h5":
        address = _text(answer, "h5_url", 512)
        if not address or not address.startswith(("https://", "http://")):
            return None
        if request.return_url is not None:
            address += ("&" if "?" in address else "?") + urlencode({"redirect_url": request.return_url})
        return PayerAction(ActionKind.REDIRECT, address)
    prepay_id = _text(answer, "prepay_id", 64)
    if not prepay_id or not prepay_id.isascii() or not prepay_id.isprintable():
        return None
    make = _page_parameters if request.method == "wechat_jsapi" else _app_parameters
    parameters = make(keys, prepay_id, str(int(now.timestamp())), nonce())
    return PayerAction(ActionKind.SDK, orjson.dumps(parameters).decode())


def _page_parameters(keys: WeChatKeys, prepay_id: str, timestamp: str, nonce: str) -> dict[str, str]:
    package = f"prepay_id={prepay_id}"
    return {
        "appId": keys.appid,
        "timeStamp": timestamp,
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": keys.sign_lines(keys.appid, timestamp, nonce, package),
    }


def _app_parameters(keys: WeChatKeys, prepay_id: str, timestamp: str, nonce: str) -> dict[str, str]:
    return {
        "appid": keys.appid,
        "partnerid": keys.mchid,
        "prepayid": prepay_id,
        "package": "Sign=WXPay",
        "noncestr": nonce,
        "timestamp": timestamp,
        "sign": keys.sign_lines(keys.appid, timestamp, nonce, prepay_id),
    }


def _text(answer: Mapping[str, Any], name: str, length: int) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= length else None
