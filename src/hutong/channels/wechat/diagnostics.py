"""Diagnosis of a WeChat Pay account, by calls that move no money.

Only placing an order shows whether the appid belongs to the mchid. So an order of 0.01 is placed whose code nobody is
shown, and is closed at once.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native: APPID_MCHID_NOT_MATCH), 4012556398 (close).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from hutong.channels.errors import NoAnswer, NotAuthentic
from hutong.channels.http import HttpReply, decode_object
from hutong.channels.protocol import AccountFinding
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.credentials import PUBLIC_KEY_PREFIX, WeChatCredentials, WeChatKeys
from hutong.channels.wechat.requests import PATHS
from hutong.clock import BEIJING

_EXPIRES_SOON = timedelta(days=30)
_UNKNOWN_ORDER = "hutong_diagnosis_0000"
_NOT_BOUND = frozenset({"APPID_MCHID_NOT_MATCH", "APPID_NOT_EXIST"})
_NOT_VALID = frozenset({"PARAM_ERROR", "INVALID_REQUEST"})


async def diagnose(
    credentials: WeChatCredentials, keys: WeChatKeys, client: WeChatClient, *, now: datetime
) -> list[AccountFinding]:
    """Check the account from the outside in: host, the merchant's key, WeChat's keys, the API v3 key, the appid."""
    findings = [*_certificates(keys, now)]
    target = f"/v3/pay/transactions/out-trade-no/{_UNKNOWN_ORDER}?mchid={credentials.mchid}"
    try:
        reply = await client.send("GET", target, now)
    except NoAnswer as error:
        fault = "unreachable" if error.answer.channel_code == "not_sent" else "no_answer"
        advice = f"WeChat Pay does not answer at {credentials.base_url}: {error.answer.channel_message}"
        return [AccountFinding("host", fault, advice), *findings]
    findings.insert(0, AccountFinding("host", None, "WeChat Pay answers."))
    merchant, platform = _merchant(reply), _platform(keys, reply, now)
    if merchant.fault is not None and platform.fault == "unsigned":
        advice = "Not tested: WeChat does not sign its answers to a merchant whom it does not recognize."
        platform = AccountFinding("platform_keys", None, advice)
    findings += [merchant, platform]
    if merchant.fault is None:
        findings.append(await _api_v3_key(keys, client, now))
        findings.append(await _appid(credentials, client, now))
    return findings


async def _appid(credentials: WeChatCredentials, client: WeChatClient, now: datetime) -> AccountFinding:
    number = f"hutong_{client.nonce()}"[:32]
    order = {
        "appid": credentials.appid,
        "mchid": credentials.mchid,
        "description": "hutong doctor",
        "out_trade_no": number,
        "amount": {"total": 1, "currency": "CNY"},
        "time_expire": (now + timedelta(minutes=5)).astimezone(BEIJING).isoformat(timespec="seconds"),
        "notify_url": "https://localhost/none",  # nobody can pay, so there is nothing to notify of
    }
    try:
        reply = await client.send("POST", PATHS["wechat_native"], now, order)
        answer = decode_object(reply.body)
        if reply.status == 200:
            target = f"/v3/pay/transactions/out-trade-no/{number}/close"
            await client.send("POST", target, now, {"mchid": credentials.mchid})
            return AccountFinding("appid", None, "It belongs to this mchid.")
    except (NoAnswer, NotAuthentic):
        return AccountFinding("appid", None, "Not tested: WeChat did not answer an order.")
    code, message = str(answer.get("code", "")), str(answer.get("message", ""))[:256]
    if code in _NOT_BOUND or (code in _NOT_VALID and "appid" in message.lower()):
        advice = f"appid is not bound to mchid; bind it in WeChat's merchant platform, product center: {message}"
        return AccountFinding("appid", "appid_not_bound", advice)
    return AccountFinding("appid", None, f"Not tested: WeChat refuses a Native order with {code}: {message}")


def _certificates(keys: WeChatKeys, now: datetime) -> list[AccountFinding]:
    findings = []
    for serial, not_before, not_after in keys.validity():
        check = f"platform_keys.{serial}"
        if now > not_after:
            findings.append(
                AccountFinding(check, "certificate_expired", f"It ended at {not_after:%Y-%m-%d}. Add the new one.")
            )
        elif now < not_before:
            findings.append(AccountFinding(check, "certificate_not_yet_valid", f"It begins at {not_before:%Y-%m-%d}."))
        elif now > not_after - _EXPIRES_SOON:
            findings.append(
                AccountFinding(check, None, f"It ends at {not_after:%Y-%m-%d}: add the new one beside it now.")
            )
        else:
            findings.append(AccountFinding(check, None, "Valid."))
    return findings


def _merchant(reply: HttpReply) -> AccountFinding:
    """Report WeChat's opinion of our signature. Its refusal is not reliably signed, so it is only shown."""
    try:
        answer = decode_object(reply.body) if reply.body else {}
    except NotAuthentic:
        return AccountFinding("merchant_key", "unreadable", f"WeChat answers with status {reply.status} and no JSON.")
    code, message = str(answer.get("code", "")), str(answer.get("message", ""))[:256]
    if reply.status != 401 and code not in ("SIGN_ERROR", "NO_AUTH", "MCH_NOT_EXISTS"):
        return AccountFinding("merchant_key", None, "WeChat takes our signature.")
    return AccountFinding("merchant_key", *_signature_fault(code, message, answer))


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


def _platform(keys: WeChatKeys, reply: HttpReply, now: datetime) -> AccountFinding:
    serial = reply.headers.get("wechatpay-serial", "")
    try:
        keys.verify(reply.headers, reply.body, now=now)
    except NotAuthentic as error:
        return AccountFinding("platform_keys", *_platform_fault(keys, serial, str(error)))
    return AccountFinding("platform_keys", None, f"Answers verify with {serial}.")


def _platform_fault(keys: WeChatKeys, serial: str, reason: str) -> tuple[str, str]:
    if reason == "unknown_key" and serial.startswith(PUBLIC_KEY_PREFIX) and keys.requested_serial is None:
        return (
            "public_key_missing",
            f"WeChat signs with the public key {serial}, and platform_keys holds certificates only. Add that key.",
        )
    if reason == "unknown_key" and keys.requested_serial is not None and not serial.startswith(PUBLIC_KEY_PREFIX):
        return (
            "public_key_id_wrong",
            (
                f"WeChat signs with the certificate {serial} although {keys.requested_serial} was asked for: "
                "this id is not this merchant's."
            ),
        )
    if reason == "unknown_key":
        return "platform_key_unknown", f"WeChat signs with {serial}, which platform_keys does not hold or which ended."
    if reason == "bad_signature":
        return "platform_key_wrong", f"The key under {serial} is not the key that WeChat signs with under this serial."
    if reason == "stale":
        return "clock_skew", "WeChat's answers are more than five minutes off by this machine's clock."
    return reason, "WeChat's answer is not signed. Does a proxy stand in between?"


async def _api_v3_key(keys: WeChatKeys, client: WeChatClient, now: datetime) -> AccountFinding:
    """Check the API v3 key without a notification: WeChat's certificate list is encrypted with it."""
    try:
        reply = await client.send("GET", "/v3/certificates", now)
        entries = decode_object(reply.body).get("data") if reply.status == 200 else None
    except (NoAnswer, NotAuthentic):
        entries = None
    if not isinstance(entries, list) or not entries:
        return AccountFinding("api_v3_key", None, "Not tested: WeChat lists no certificates for this merchant.")
    try:
        for entry in entries:
            keys.decrypt(entry["encrypt_certificate"])
    except NotAuthentic:
        return AccountFinding(
            "api_v3_key", "wrong_api_v3_key", "api_v3_key does not decrypt WeChat's list of certificates."
        )
    except (KeyError, TypeError):
        return AccountFinding("api_v3_key", "unreadable", "WeChat's list of certificates cannot be read.")
    return AccountFinding("api_v3_key", None, "Decrypts WeChat's list of certificates.")
