"""The validation of requests by Alipay's rules, which are in `rules.toml`, and its refusals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hutong.clock import BEIJING
from hutong.money import from_major
from hutong.sandbox.rules import Fault, PublishedRules

RULES = PublishedRules.load("alipay")
_MESSAGES = {"40004": "Business Failed", "40001": "Missing Required Arguments"}


class AlipayRefusal(Exception):
    """A refusal by Alipay: its answer to a request that it does not fulfill."""

    def __init__(self, code: str, sub_code: str, sub_msg: str, *, msg: str | None = None) -> None:
        super().__init__(sub_code)
        message = msg or _MESSAGES.get(code, "Invalid Arguments")
        self.node: dict[str, Any] = {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": sub_msg}


def check(interface: str, content: Mapping[str, Any], *, strict: bool) -> None:
    """Check the public parameters ("gateway.do") or the content of a method by their rules. An empty text is none.

    Errors:
        AlipayRefusal: they break one.
    """
    given = {name: value for name, value in content.items() if value != ""}
    found = RULES.violation(interface, given, strict=strict)
    if found is None:
        return
    sub_code, name = found.code or "ACQ.INVALID_PARAMETER", ".".join(found.path)
    missing = found.fault is Fault.MISSING
    code = ("40001" if missing else "40002") if sub_code.startswith("isv.") else "40004"
    raise AlipayRefusal(code, sub_code, f"缺少{name}参数" if missing else f"参数无效：{name}")


def expiry(content: Mapping[str, Any]) -> datetime | None:
    """Return the expiry of a checked order, or None."""
    end = content.get("time_expire")
    return datetime.fromisoformat(end).replace(tzinfo=BEIJING).astimezone(UTC) if end else None


def yuan(value: object) -> int:
    """Read a checked amount in yuan; some clients send a number."""
    return from_major(str(value), "CNY")
