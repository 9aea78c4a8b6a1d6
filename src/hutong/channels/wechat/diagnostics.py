"""Diagnosis of a WeChat Pay account, by calls that move no money, and the address of complaints' notifications.

Only placing an order shows whether the appid belongs to the mchid. So an order of 0.01 is placed whose code nobody is
shown, and is closed at once.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native: APPID_MCHID_NOT_MATCH), 4012556398 (close);
    https://pay.weixin.qq.com/docs/partner/apis/consumer-complaint/complaint-notifications/
    create-complaint-notifications.html (the address of complaints).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from hutong.channels.errors import NoAnswer, NotAuthentic
from hutong.channels.http import HttpReply, decode_object
from hutong.channels.model import text
from hutong.channels.protocol import AccountFinding
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.credentials import PUBLIC_KEY_PREFIX, WeChatCredentials, WeChatKeys
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.requests import PRODUCTS
from hutong.clock import BEIJING

_EXPIRES_SOON = timedelta(days=30)
_UNKNOWN_ORDER = "hutong_diagnosis_0000"
_NOT_BOUND = frozenset({"APPID_MCHID_NOT_MATCH", "APPID_NOT_EXIST"})
_NOT_VALID = frozenset({"PARAM_ERROR", "INVALID_REQUEST"})
_ADDRESS = "/v3/merchant-service/complaint-notifications"
_NOT_AUTHORIZED = frozenset({"NO_AUTH", "NOAUTH"})


async def diagnose(
    credentials: WeChatCredentials, merchant: WeChatMerchant, keys: WeChatKeys, client: WeChatClient, *, now: datetime
) -> list[AccountFinding]:
    """Check the account from the outside in: host, the caller's key, WeChat's keys, the API v3 key, the apps.

    At last it tells where WeChat notifies of complaints.
    """
    findings = [*_certificates(keys, now)]
    try:
        reply = await client.send("GET", merchant.order_target(_UNKNOWN_ORDER), now)
    except NoAnswer as error:
        fault = "unreachable" if error.answer.channel_code == "not_sent" else "no_answer"
        advice = f"WeChat Pay does not answer at {credentials.base_url}: {error.answer.channel_message}"
        return [AccountFinding("host", fault, advice), *findings]
    findings.insert(0, AccountFinding("host", None, "WeChat Pay answers."))
    caller, platform = _caller(reply), _platform(keys, reply, now)
    if caller.fault is not None and platform.fault == "unsigned":
        advice = "Not tested: WeChat does not sign its answers to a merchant whom it does not recognize."
        platform = AccountFinding("platform_keys", None, advice)
    findings += [caller, platform]
    if caller.fault is None:
        findings.append(await _api_v3_key(keys, client, now))
        findings += [await _app(merchant, app, client, now) for app in merchant.known_apps or (None,)]
        findings.append(await _complaints(client, now))
    return findings


async def _app(merchant: WeChatMerchant, app: str | None, client: WeChatClient, now: datetime) -> AccountFinding:
    """Place an order in one of the merchant's apps, or for None in its service provider's."""
    default = merchant.appid if merchant.sub_mchid is None else merchant.sub_appid
    check = "appid" if app == default else f"appids.{app}"
    number = f"hutong_{client.nonce()}"[:32]
    order = merchant.order_fields(app) | {
        "description": "hutong doctor",
        "out_trade_no": number,
        "amount": {"total": 1, "currency": "CNY"},
        "time_expire": (now + timedelta(minutes=5)).astimezone(BEIJING).isoformat(timespec="seconds"),
        "notify_url": "https://localhost/none",  # nobody can pay, so there is nothing to notify of
    }
    try:
        reply = await client.send("POST", f"{merchant.orders_path}/{PRODUCTS['wechat_native']}", now, order)
        answer = decode_object(reply.body)
        if reply.status == 200:
            target = f"{merchant.orders_path}/out-trade-no/{number}/close"
            await client.send("POST", target, now, merchant.party_fields)
            return AccountFinding(check, None, f"It belongs to {merchant.number}.")
    except (NoAnswer, NotAuthentic):
        return AccountFinding(check, None, "Not tested: WeChat did not answer an order.")
    return AccountFinding(
        check, *_app_fault(merchant, str(answer.get("code", "")), str(answer.get("message", ""))[:256])
    )


def _app_fault(merchant: WeChatMerchant, code: str, message: str) -> tuple[str | None, str]:
    if code in _NOT_BOUND or (code in _NOT_VALID and "appid" in message.lower()):
        name, place = ("appid is not bound to mchid", "merchant platform, product center")
        if merchant.sub_mchid is not None:
            name, place = "sp_appid or sub_appid is not bound to sub_mchid", "service provider platform"
        return "appid_not_bound", f"{name}; bind it in WeChat's {place}: {message}"
    if merchant.sub_mchid is not None and (code in _NOT_AUTHORIZED or "sub_mch" in message.lower()):
        advice = f"sub_mchid has not authorized this service provider, or is none of its merchants: {message}"
        return "sub_mchid_not_authorized", advice
    return None, f"Not tested: WeChat refuses a Native order with {code}: {message}"


async def register_address(client: WeChatClient, url: str, *, now: datetime) -> AccountFinding:
    """Register where WeChat notifies of complaints, unless that is the address already."""
    found = await client.ask(_ADDRESS, now)
    if found is None or found[0].get("url") != url:
        try:
            status, answer = await client.call("POST" if found is None else "PUT", _ADDRESS, now, {"url": url})
        except NoAnswer as error:
            return AccountFinding("complaints", "no_answer", f"WeChat did not answer: {error.answer.channel_code}")
        if status not in (200, 204):
            code, message = text(answer.get("code"), 64), text(answer.get("message"), 256)
            return AccountFinding("complaints", "refused", f"WeChat does not take {url}: {code} {message}")
    return await _complaints(client, now)


async def _complaints(client: WeChatClient, now: datetime) -> AccountFinding:
    found = await client.ask(_ADDRESS, now)
    address = text(found[0].get("url"), 255) if found else None
    if address is None:
        advice = "WeChat has no address to notify of complaints, so they are found by the daily list alone."
        return AccountFinding("complaints", None, advice)
    return AccountFinding("complaints", None, f"WeChat notifies {address} of complaints.")


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


def _caller(reply: HttpReply) -> AccountFinding:
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
