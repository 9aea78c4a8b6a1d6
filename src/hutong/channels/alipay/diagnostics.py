"""Diagnosis of an Alipay account, without touching money.

Alipay names the account's own user id nowhere but in the address of a bill: `userId` is the id followed by 0156.

Source:
    https://opendocs.alipay.com/open/02e7gt (the address), as clients of Alipay have recorded it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from hutong.channels.alipay.client import AUTHORIZATION_QUERY, AlipayClient
from hutong.channels.alipay.credentials import AlipayCredentials, AlipayKeys
from hutong.channels.alipay.disputes import AlipayDisputes
from hutong.channels.alipay.responses import succeeded
from hutong.channels.errors import NoAnswer
from hutong.channels.model import text
from hutong.channels.protocol import AccountFinding
from hutong.clock import BEIJING

_UNKNOWN_ORDER = "hutong_diagnose"
_USER_ID = re.compile(r"2088[0-9]{12}(?:0156)?")

_AUTHORIZE = (
    "the merchant has ended the authorization, or it has expired; refresh the token or have it authorized again"
)
_FAULTS = {
    "isv.invalid-signature": (
        "merchant_key",
        "merchant_key_mismatch",
        "app_private_key is not the key whose public part, or whose certificate, is registered for this application",
    ),
    "isv.missing-signature-config": (
        "merchant_key",
        "merchant_key_missing",
        "no public key or certificate is registered for this application; upload it at Alipay",
    ),
    "isv.missing-signature-key": (
        "merchant_key",
        "merchant_key_missing",
        "no public key or certificate is registered for this application; upload it at Alipay",
    ),
    "isv.invalid-app-id": (
        "app_id",
        "app_id_unknown",
        "app_id does not exist in this environment, or the application is not online; the sandbox has its own ids",
    ),
    "isv.not-online-app": ("app_id", "app_not_online", "the application is not online yet; put it online at Alipay"),
    "isv.missing-app-cert-sn": (
        "mode",
        "certificate_mode_required",
        "this application signs with certificates; configure the certificates of certificate mode",
    ),
    "isv.app-cert-not-exist": (
        "app_certificate",
        "app_certificate_unknown",
        "app_certificate is not the one that is registered for this application",
    ),
    "isv.app-cert-expired": ("app_certificate", "certificate_expired", "the application's certificate has expired"),
    "isv.invalid-alipay-root-cert-sn": (
        "root_certificates",
        "root_certificates_unknown",
        "alipay_root_certificates is not the file that Alipay offers with this application",
    ),
    "isv.invalid-charset": ("charset", "charset", "Alipay expects another charset for this application"),
    "isv.invalid-timestamp": ("clock", "clock_skew", "the clock of this machine is wrong"),
    "isv.illegal-timestamp": ("clock", "clock_skew", "the clock of this machine is wrong"),
    "isv.insufficient-isv-permissions": (
        "permission",
        "product_not_signed",
        "the product is not signed, or the application is not bound to the merchant",
    ),
    "aop.invalid-app-auth-token": ("app_auth_token", "app_auth_token_invalid", _AUTHORIZE),
    "aop.app-auth-token-time-out": ("app_auth_token", "app_auth_token_expired", _AUTHORIZE),
    "aop.invalid-app-auth-token-no-api": (
        "app_auth_token",
        "app_auth_token_without_api",
        "the merchant has not authorized the application for this interface; it must be authorized again, with it",
    ),
    "isv.self-invoke-forbidden": (
        "app_auth_token",
        "app_auth_token_missing",
        "this is a third-party application, which acts for merchants only; configure app_auth_token and auth_app_id",
    ),
    "isv.not-support-app-auth": (
        "app_auth_token",
        "app_auth_token_not_supported",
        "this is no third-party application, so that it can act for no merchant; leave app_auth_token out",
    ),
    "unsigned": ("alipay_key", "unsigned", "the answer carries no signature; is base_url Alipay's?"),
    "unreadable": ("host", "not_alipay", "the server at base_url is not Alipay's"),
    "no_answer": ("host", "no_answer", "Alipay was reached but did not answer"),
    "not_sent": ("host", "unreachable", "Alipay cannot be reached; check the network, DNS and base_url"),
    "bad_signature": (
        "alipay_key",
        "alipay_key_mismatch",
        "the answer is not signed with any configured key; Alipay's public key is not the application's own public key",
    ),
}
_UNKNOWN_KEY = {
    True: (
        "alipay_key",
        "alipay_certificate_unknown",
        "Alipay signs with a certificate that is not among alipay_certificates, or that has expired",
    ),
    False: (
        "mode",
        "certificate_mode_required",
        "Alipay signs with a certificate; configure the certificates of certificate mode",
    ),
}


async def diagnose(
    client: AlipayClient, keys: AlipayKeys, credentials: AlipayCredentials, disputes: AlipayDisputes, *, now: datetime
) -> list[AccountFinding]:
    """Check the certificates, the answer to a query for an order that does not exist, and whose bills Alipay gives.

    What of complaints is not signed is named, but is no fault. Of an application that acts for a merchant also the
    token is checked: whose it is, and until when it is valid.
    """
    findings = _certificates(keys, now)
    code = None
    try:
        node = await client.call("alipay.trade.query", {"out_trade_no": _UNKNOWN_ORDER}, now=now)
        if node.get("sub_code") != "ACQ.TRADE_NOT_EXIST":
            code = str(node.get("sub_code") or node.get("code"))
    except NoAnswer as error:
        code = error.answer.channel_code or error.reason
        if code not in _FAULTS:
            code = error.reason
    if code is None:
        findings.append(AccountFinding("alipay_key", None, "Alipay accepts our signature, and its own verifies"))
        findings += await _authorization(client, credentials, now=now)
        findings.append(await _seller(client, credentials.seller_id, now=now))
        return [*findings, await _complaints(disputes, now=now)]
    if code == "unknown_key":
        findings.append(AccountFinding(*_UNKNOWN_KEY[keys.certificate_mode]))
    else:
        findings.append(AccountFinding(*_FAULTS.get(code, ("answer", "refused", f"Alipay refused a query: {code}"))))
    return findings


async def _authorization(
    client: AlipayClient, credentials: AlipayCredentials, *, now: datetime
) -> list[AccountFinding]:
    """Compare the token with the merchant that it is configured for."""
    token, check = credentials.app_auth_token, "app_auth_token"
    if token is None:
        return []
    try:
        node = await client.call(AUTHORIZATION_QUERY, {"app_auth_token": token.get_secret_value()}, now=now)
    except NoAnswer:
        node = {}
    if not succeeded(node):
        return [AccountFinding(check, None, "accepted; Alipay does not tell now whose it is")]
    for name, expected, found in (
        ("auth_app_id", credentials.auth_app_id, node.get("auth_app_id")),
        ("seller_id", credentials.seller_id, node.get("user_id")),
    ):
        if found != expected:
            fault = f"{name}_wrong"
            return [AccountFinding(check, fault, f"the token is of {found}; notifications would be refused")]
    if node.get("status") != "valid":
        return [AccountFinding(check, "app_auth_token_invalid", _AUTHORIZE)]
    return [AccountFinding(check, None, f"valid until {text(node.get('auth_end'), 32)}")]


async def _seller(client: AlipayClient, seller_id: str, *, now: datetime) -> AccountFinding:
    """Compare `seller_id` with the account of a bill: yesterday's, else that of the month before this one."""
    today = now.astimezone(BEIJING).date()
    yesterday, last_month = today - timedelta(days=1), today.replace(day=1) - timedelta(days=1)
    for bill_date in (f"{yesterday:%Y-%m-%d}", f"{last_month:%Y-%m}"):
        content = {"bill_type": "trade", "bill_date": bill_date}
        try:
            node = await client.call("alipay.data.dataservice.bill.downloadurl.query", content, now=now)
        except NoAnswer:
            continue
        address = node.get("bill_download_url")
        named = parse_qs(urlsplit(address).query).get("userId", []) if isinstance(address, str) else []
        if len(named) == 1 and _USER_ID.fullmatch(named[0]):
            owner = named[0][:16]
            if owner == seller_id:
                return AccountFinding("seller_id", None, "it is the account whose bills Alipay gives")
            advice = f"the bills of this application are those of {owner}; notifications and bills would be refused"
            return AccountFinding("seller_id", "seller_id_wrong", advice)
    return AccountFinding("seller_id", None, "not tested: Alipay names the account with a bill only, and has none yet")


async def _complaints(disputes: AlipayDisputes, *, now: datetime) -> AccountFinding:
    unsigned = await disputes.unsigned(now=now)
    advice = "both interfaces for payers' complaints are signed"
    if unsigned is None:
        advice = "not tested: Alipay gives no answer now about complaints"
    elif unsigned:
        advice = f"complaints are not listed by {' and '.join(unsigned)}, which the merchant has not signed for"
    return AccountFinding("complaints", None, advice)


def _certificates(keys: AlipayKeys, now: datetime) -> list[AccountFinding]:
    if not keys.certificate_mode:
        return []
    application = keys.app_certificate
    findings = [_validity("app_certificate", application.not_valid_before_utc, application.not_valid_after_utc, now)]
    findings += [
        _validity(
            "alipay_test_certificate" if certificate.is_test else "alipay_certificate",
            certificate.not_before,
            certificate.not_after,
            now,
        )
        for certificate in keys.alipay_certificates
    ]
    return findings


def _validity(check: str, start: datetime, end: datetime, now: datetime) -> AccountFinding:
    if now > end:
        return AccountFinding(check, "certificate_expired", f"expired on {end:%Y-%m-%d}; get a new one from Alipay")
    if now < start:
        return AccountFinding(check, "certificate_not_yet_valid", f"valid from {start:%Y-%m-%d}; is the clock right?")
    return AccountFinding(check, None, f"valid until {end:%Y-%m-%d}")
