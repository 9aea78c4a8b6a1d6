# ruff: noqa: E501
"""Values that have broken other programs: amounts as JSON text, and texts."""

from __future__ import annotations

import orjson

from support.running_platform import PlatformApi

_HUGE = 999_999_999_999_999

AMOUNTS: list[str] = [
    # Out of range.
    "0", "-0", "-1", "-1999", str(_HUGE + 1), str(-_HUGE), str(2**31 * 10**6), str(2**53), str(2**53 + 1),
    str(2**63 - 1), str(2**63), str(2**63 + 1), str(-(2**63)), str(-(2**63) - 1), str(2**64 - 1), str(2**64),
    str(2**64 + 1999), str(2**127), str(2**128), str(2**128 + 1999), "9" * 20, "9" * 40, "9" * 309, "9" * 1_000,
    "9" * 4_299, "9" * 4_300, "9" * 4_301, "9" * 10_000, "1" + "0" * 10_000, "-" + "9" * 10_000, "9" * 100_000,
    # Not integers.
    "1.0", "1.5", "0.1", "19.99", "1999.0", "1999.00", "-1.5", "0.0", "-0.0", "1e0", "1E0", "1e1", "1E+1", "1e-1",
    "1999e0", "1.999e3", "1e400", "1E400", "-1E400", "1e-400", "1e15", "1e308", "1e309", "4.9e-324", "0.1e1", "1e+0",
    "1.0000000000000001", "1999.0000000000000001", "1e999999", "1E-999999", "9007199254740993.0", "0.5", "2.5", "1e00",
    # Not JSON numbers.
    "NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "+1", "01", "00", "-01", "1.", ".5",
    "-.5", "1e", "1e+", "0x10", "0X7CF", "0b1", "0o17", "1_000", "1,000", "1 000", "1'000", "--1", "+-1", "1-", "1+1",
    "1999n", "1999L", "1f", "1/2", "undefined", "None", "True", "TRUE", "\uff11\uff19", "\u0661", "\u0967", "\u4e00",
    "\u2160", "\u00b2", "\u00bd", "\u22121", "\u200b1", "1\u00a0", "", " ", "'1'", "`1`", "(1)", "<1>", "1;", "$1", "\u00a51",
    # Other JSON values.
    "null", "true", "false", "[]", "[1]", "[1999]", "{}", '{"minor":1}', '{"$numberLong":"1"}', "[[1]]", "[null]",
    # Strings.
    '"1"', '"1999"', '"-1"', '"0"', '""', '" "', '" 1"', '"1 "', '"1\\n"', '"1\\u0000"', '"1.0"', '"1e3"', '"1E+999999"',
    '"NaN"', '"Infinity"', '"-Infinity"', '"1_000"', '"1,000"', '"0x10"', '"0b1"', '"+1"', '"01"', '"true"', '"null"',
    '"\uff11\uff19\uff19\uff19"', '"\u0661\u0669"', '"\u0967"', '"\u4e00\u767e"', '"\u2155"', '"\u00b9"', '"\u22121"',
    '"\u200b1"', '"1\u200b"', '"\u202e9991"', '"\\ud835\\udfcf"', '"\\ud800"', '"1; DROP TABLE payments"', '"1\'"', '"$1"',
    '"' + "9" * 10_000 + '"', '"' + "9" * 100_000 + '"', '"1999 CNY"', '"19.99"', '"1999\\u2028"', '"\\u0031\\u0039"',
]  # fmt: skip

_CONTROL = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
_INVISIBLE = [
    "\u00ad", "\u034f", "\u061c", "\u115f", "\u17b4", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f",
    "\u2028", "\u2029", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2060", "\u2061", "\u2066", "\u2067",
    "\u2068", "\u2069", "\u206a", "\u3164", "\ufe0f", "\ufeff", "\uffa0", "\ufff9", "\ufffa", "\ufffb", "\ufffc",
    "\ufffd", "\ufffe", "\uffff", "\U000e0001", "\U000e0041", "\U0001fffe", "\U0010ffff", "\ue000", "\U000f0000",
]  # fmt: skip
_SURROGATES = ["\ud800", "\udbff", "\udc00", "\udfff", "\udc00\ud800", "a\ud800b", "\ud83d", "\ude00", "\ud800\ud800"]
_BLANK = ["", " ", "  ", "\u00a0", "\u2003", "\u3000", "\u1680", "\u2800"]
_LONG = ["x" * n for n in (40, 41, 64, 65, 127, 128, 255, 256, 500, 501, 1_000, 2_000, 2_048, 65_536, 200_000)]
_WIDE = ["\u4e2d" * 127, "\U0001f600" * 127, "\U0001f600" * 128, "\u0301" * 127, "e\u0301", "\u00e9", "\U00020000", "\ufb01", "\u0130", "\u00df", "\u1e9e"]  # fmt: skip
_HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg/onload=alert(1)>", "javascript:alert(1)",
    "' OR '1'='1", "'; DROP TABLE payments.payment; --", "1; SELECT pg_sleep(10)", "$1", "$$", "E'\\x00'", "\\", "\\\\",
    "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{% raw %}", "%s%s%n", "%00", "%0d%0aSet-Cookie:x", "\r\nX: y",
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "../../etc/passwd", "..\\..\\x", "/etc/passwd\0.png",
    "file:///etc/passwd", "http://169.254.169.254/", "`id`", "$(id)", "; id", "| id", "&& id", "${jndi:ldap://x/a}",
    "() { :;}; id", "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///x'>]>", "<![CDATA[x]]>", "]]>", "<!--", "*/", "null",
    "undefined", "NaN", "true", "None", "__proto__", "constructor", "toString", "__class__", "0", "-1", "1e999",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e8\U0001f1f3", "Z\u0351\u036b\u0343\u036a\u0302", "\ufdfd",
    "\u202eCOD.exe", "\u0627\u0644\u0639", "\u05d0\u05d1", "\u0e01\u0e33", "\u1100\u1161", "\uac00", "CON", "a" * 63 + ".",
    "pay_01h455vb4pex5vsknk084sn02q", "sk_live_x", "4111111111111111", "\u3164", "\u0430\u0440\u0440", "CNY", "wechat_native",
]  # fmt: skip

TEXTS: list[str] = [
    *(f"a{c}b" for c in _CONTROL), *(f"a{c}b" for c in _INVISIBLE), *_SURROGATES, *_BLANK, *_LONG, *_WIDE, *_HOSTILE,
]  # fmt: skip


def raw_order(platform_api: PlatformApi, *, amount: str | None = None, text: str = "", field: str = "") -> bytes:
    """An order as JSON text, with this amount as it is written or this text in that field."""
    order = platform_api.order()
    if amount is not None:
        return orjson.dumps(order | {"amount_minor": 0}).replace(
            b'"amount_minor":0', b'"amount_minor":' + amount.encode()
        )
    import json  # orjson writes no lone surrogates

    if field == "metadata key":
        order["metadata"] = {text: "value"}
    elif field == "metadata value":
        order["metadata"] = {"key": text}
    else:
        order[field] = text
    return json.dumps(order).encode()
