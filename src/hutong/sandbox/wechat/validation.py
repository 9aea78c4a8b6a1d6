"""The validation of requests by WeChat's rules, which are in `rules.toml`, and its refusals in WeChat's own form.

Source:
    https://pay.weixin.qq.com/wiki/doc/apiv3/wechatpay/wechatpay2_0.shtml (the form of a refusal). The messages, as
    merchants have shown them: TheNorthMemory/wechatpay-axios-plugin#38 (type), hpyer/node-easywechat#69 (no value),
    wechatpay-apiv3/wechatpay-postman-script#7 (pattern), cloudreve/cloudreve#2491 (characters of four bytes). Those
    about numbers and choices are not confirmed by a public source.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from hutong.sandbox.rules import Fault, PublishedRules, Violation
from hutong.sandbox.wechat.parties import Party
from hutong.sandbox.wechat.protocol import WeChatRefusal, read_json

RULES = PublishedRules.load("wechat")
_LIFE_MIN = timedelta(minutes=1)
_TYPES = {
    "integer": "64 位有符号整数",
    "digits": "64 位有符号整数",
    "string": "字符串",
    "object": "对象",
    "list": "数组",
    "time": "时间",
}
_UNITS = {"bytes": "字节数", "chars": "字符数"}


def check(interface: str, request: web.Request, body: bytes, *, strict: bool) -> None:
    """Check a request by the rules of its interface.

    Errors:
        WeChatRefusal: it breaks one.
    """
    content = {**request.match_info, **request.query, **({} if request.method == "GET" else read_json(body))}
    found = RULES.violation(interface, content, strict=strict)
    if found is None:
        return
    location = "query" if request.method == "GET" else "body"
    raise _refusal(found, "uri_template" if found.path[0] in request.match_info else location)


def _refusal(found: Violation, location: str) -> WeChatRefusal:
    if found.fault is Fault.CHARACTERS and found.limit == "basic":
        return WeChatRefusal(400, "INVALID_REQUEST", "请求内容传入了非UTF8参数")
    rule, value = found.rule, found.value if found.counted is None else found.counted
    source = f"/{location}/" + "/".join((rule.published or found.path[0], *found.path[1:]))
    message = f"输入源“{source}”映射到值字段“{rule.name}”"
    match found.fault:
        case Fault.MISSING:
            message = f"输入源“{source}”映射到字段“{rule.name}”必填性规则校验失败，此字段为必填项"
            value = ""
        case Fault.TYPE:
            json = " JSON " if location == "body" else ""
            message = (
                f"无法将{json}输入源“{source}”映射到目标字段“{rule.name}”中，此字段需要一个合法的{_of_type(rule.type)}"
            )
        case Fault.LONG:
            message += f"字符串规则校验失败，{_UNITS[found.unit]} {value}，大于最大值 {found.limit}"
        case Fault.SHORT | Fault.EMPTY:
            message += f"字符串规则校验失败，{_UNITS[found.unit]} {value}，小于最小值 {found.limit}"
        case Fault.BELOW:
            message += f"数值规则校验失败，{value}，小于最小值 {found.limit}"
        case Fault.ABOVE:
            message += f"数值规则校验失败，{value}，大于最大值 {found.limit}"
        case Fault.CHOICE:
            message += "枚举规则校验失败"
        case _:
            message += f"字符串规则校验失败，字符串必须匹配正则表达式“^{found.limit}$”"
    return WeChatRefusal(400, found.code or "PARAM_ERROR", message, location=location, value=value)


def _of_type(name: str) -> str:
    return f" {_TYPES[name]}" if name in ("integer", "digits") else _TYPES[name]


def check_order(content: Mapping[str, Any], product: str, now: datetime, party: Party) -> datetime | None:
    """Check whose order it is; return its expiry, postponed like WeChat's if it is less than a minute away."""
    party.check_order(content)
    if product == "jsapi":
        party.check_payer(content)
    if "time_expire" not in content:
        return None
    return max(datetime.fromisoformat(content["time_expire"]), now + _LIFE_MIN)
