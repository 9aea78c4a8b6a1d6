"""What is wrong with a WeChat Pay account: tried out with calls that move no money."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from hutong.channels.http import HttpReply
from hutong.channels.protocol import Finding
from hutong.channels.wechat.client import NoWord, Wire, read_object
from hutong.channels.wechat.credentials import PUBLIC_KEY_PREFIX, Unproven, WeChatCredentials, WeChatKeys

_SKEW_MAX = timedelta(seconds=240)
_EXPIRES_SOON = timedelta(days=30)
_UNKNOWN_ORDER = "hutong_diagnosis_0000"


async def diagnose(credentials: WeChatCredentials, keys: WeChatKeys, wire: Wire, *, now: datetime) -> list[Finding]:
    """Look at the account from the outside in: reachable, clock, the merchant's key, WeChat's keys, the API v3 key."""
    findings = [*_certificates(keys, now)]
    target = f"/v3/pay/transactions/out-trade-no/{_UNKNOWN_ORDER}?mchid={credentials.mchid}"
    try:
        reply = await wire.send("GET", target, now)
    except NoWord as nothing:
        fault = "unreachable" if nothing.answer.channel_code == "not_sent" else "no_answer"
        advice = f"WeChat Pay does not answer at {credentials.base_url}: {nothing.answer.channel_message}"
        return [Finding("host", fault, advice), *findings]
    findings.insert(0, Finding("host", None, "WeChat Pay answers."))
    findings.append(_clock(reply, now))
    findings.append(_merchant(reply))
    findings.append(_platform(keys, reply, now))
    if findings[-2].fault is None:
        findings.append(await _api_v3_key(keys, wire, now))
    return findings


def _certificates(keys: WeChatKeys, now: datetime) -> list[Finding]:
    found = []
    for serial, not_before, not_after in keys.validity():
        check = f"platform_keys.{serial}"
        if now > not_after:
            found.append(Finding(check, "certificate_expired", f"It ended at {not_after:%Y-%m-%d}. Add the new one."))
        elif now < not_before:
            found.append(Finding(check, "certificate_not_yet_valid", f"It begins at {not_before:%Y-%m-%d}."))
        elif now > not_after - _EXPIRES_SOON:
            found.append(Finding(check, None, f"It ends at {not_after:%Y-%m-%d}: add the new one beside it now."))
        else:
            found.append(Finding(check, None, "Valid."))
    return found


def _clock(reply: HttpReply, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return Finding("clock", None, "WeChat's answer tells no time.")
    skew = now - theirs
    if abs(skew) > _SKEW_MAX:
        way = "ahead of" if skew > timedelta(0) else "behind"
        advice = f"This machine's clock is {abs(skew.total_seconds()):.0f} s {way} WeChat's. Set it by NTP."
        return Finding("clock", "clock_skew", advice)
    return Finding("clock", None, "Agrees with WeChat's.")


def _merchant(reply: HttpReply) -> Finding:
    """What WeChat says of our signature. Its refusal is not signed in a way that we can rely on, so it is only told."""
    try:
        answer = read_object(reply.body) if reply.body else {}
    except Unproven:
        return Finding("merchant_key", "unreadable", f"WeChat answers with status {reply.status} and no JSON.")
    code, message = str(answer.get("code", "")), str(answer.get("message", ""))[:256]
    if reply.status != 401 and code not in ("SIGN_ERROR", "NO_AUTH", "MCH_NOT_EXISTS"):
        return Finding("merchant_key", None, "WeChat takes our signature.")
    return Finding("merchant_key", *_signature_fault(code, message, answer))


def _signature_fault(code: str, message: str, answer: Mapping[str, object]) -> tuple[str, str]:
    if code == "MCH_NOT_EXISTS":
        return "merchant_not_found", f"WeChat does not know this mchid: {message}"
    if code == "NO_AUTH":
        return "merchant_not_permitted", f"The merchant may not use this product: {message}"
    if "序列号" in message or "serial" in message.lower():
        return (
            "merchant_serial_unknown",
            f"merchant_serial does not name a valid API certificate of this mchid: {message}",
        )
    if "timestamp" in message or "时间" in message:
        return "clock_skew", f"WeChat finds our time wrong: {message}"
    return (
        "wrong_key_for_serial",
        (
            "merchant_private_key is not the key of the certificate that merchant_serial names, "
            f"or mchid is another merchant's: {message or answer.get('code', '')}"
        ),
    )


def _platform(keys: WeChatKeys, reply: HttpReply, now: datetime) -> Finding:
    serial = reply.headers.get("wechatpay-serial", "")
    try:
        keys.verify(reply.headers, reply.body, now=now)
    except Unproven as error:
        return Finding("platform_keys", *_platform_fault(keys, serial, str(error)))
    return Finding("platform_keys", None, f"Answers verify with {serial}.")


def _platform_fault(keys: WeChatKeys, serial: str, why: str) -> tuple[str, str]:
    if why == "unknown_key" and serial.startswith(PUBLIC_KEY_PREFIX) and keys.wanted_serial is None:
        return (
            "public_key_missing",
            f"WeChat signs with the public key {serial}, and platform_keys holds certificates only. Add that key.",
        )
    if why == "unknown_key" and keys.wanted_serial is not None and not serial.startswith(PUBLIC_KEY_PREFIX):
        return (
            "public_key_id_wrong",
            (
                f"WeChat signs with the certificate {serial} although {keys.wanted_serial} was asked for: "
                "this id is not this merchant's."
            ),
        )
    if why == "unknown_key":
        return "platform_key_unknown", f"WeChat signs with {serial}, which platform_keys does not hold or which ended."
    if why == "bad_signature":
        return "platform_key_wrong", f"The key under {serial} is not the one that WeChat signs with under this name."
    if why == "stale":
        return "clock_skew", "WeChat's answers are older or newer than five minutes by this machine's clock."
    return why, "WeChat's answer is not signed. Is something between us and WeChat?"


async def _api_v3_key(keys: WeChatKeys, wire: Wire, now: datetime) -> Finding:
    """The certificate list is encrypted with the API v3 key, so that it can be tried without a notification."""
    try:
        reply = await wire.send("GET", "/v3/certificates", now)
        entries = read_object(reply.body).get("data") if reply.status == 200 else None
    except (NoWord, Unproven):
        entries = None
    if not isinstance(entries, list) or not entries:
        return Finding("api_v3_key", None, "Not tried: WeChat lists no certificates for this merchant.")
    try:
        for entry in entries:
            keys.decrypt(entry["encrypt_certificate"])
    except Unproven:
        return Finding("api_v3_key", "wrong_api_v3_key", "api_v3_key does not decrypt what WeChat encrypts with it.")
    except (KeyError, TypeError):
        return Finding("api_v3_key", "unreadable", "WeChat's list of certificates cannot be read.")
    return Finding("api_v3_key", None, "Decrypts what WeChat encrypts.")
