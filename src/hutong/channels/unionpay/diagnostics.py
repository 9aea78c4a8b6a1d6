"""Diagnosis of a UnionPay account, without touching money."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from hutong.channels.certificates import is_issued
from hutong.channels.errors import NoAnswer, NotAuthentic
from hutong.channels.http import HttpReply
from hutong.channels.model import NOT_SENT
from hutong.channels.protocol import AccountFinding
from hutong.channels.unionpay.client import UnionPayClient
from hutong.channels.unionpay.credentials import UnionPayCredentials, UnionPayKeys, read_certificates
from hutong.channels.unionpay.requests import query_fields
from hutong.channels.unionpay.responses import read_answer

_EXPIRES_SOON = timedelta(days=30)
_UNKNOWN_ORDER = "att_00000"

_REFUSALS = {
    "11": ("merchant_key", "wrong_key", "UnionPay does not accept the signature: register this certificate"),
    "31": ("merchant", "merchant_inactive", "UnionPay answers that the merchant is not active"),
    "32": ("merchant", "not_permitted", "UnionPay answers that the merchant may not use this product"),
    "10": ("charset", "format_refused", "UnionPay cannot read the request: check its encoding"),
}
_NOT_AUTHENTIC = {
    "unsigned": ("unsigned_answer", "the server at base_url is not UnionPay's"),
    "unknown_key": (
        "unknown_signer",
        "root_certificates, middle_certificates or signer_name are not those of UnionPay",
    ),
    "stale": ("certificate_expired", "UnionPay's certificate is not valid at this machine's time: check the clock"),
    "bad_signature": ("bad_signature", "the answer was changed in transit"),
    "charset": ("wrong_charset", "the answer is not in UTF-8"),
    "unreadable": ("unreadable_answer", "the server at base_url is not UnionPay's"),
}


async def diagnose(
    credentials: UnionPayCredentials, keys: UnionPayKeys, client: UnionPayClient, *, now: datetime
) -> list[AccountFinding]:
    """Check the certificates, then send one signed query for an order that cannot exist."""
    findings = [_period("merchant_certificate", keys.certificate, now), *_authority(credentials, now)]
    try:
        reply = await client.send("queryTrans", query_fields(_UNKNOWN_ORDER, now, credentials))
    except NoAnswer as error:
        fault = "unreachable" if error.answer.channel_code == NOT_SENT else "no_answer"
        advice = f"{credentials.base_url}: {error.answer.channel_message}"
        return [*findings, AccountFinding("gateway", fault, advice)]
    return [*findings, AccountFinding("gateway", None, "it answers"), *_answer(reply, keys, now)]


def _period(check: str, certificate: x509.Certificate, now: datetime) -> AccountFinding:
    if now < certificate.not_valid_before_utc:
        return AccountFinding(
            check, "certificate_not_yet_valid", f"valid from {certificate.not_valid_before_utc:%Y-%m-%d}"
        )
    if now > certificate.not_valid_after_utc:
        return AccountFinding(check, "certificate_expired", f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if now > certificate.not_valid_after_utc - _EXPIRES_SOON:
        return AccountFinding(check, "certificate_expires_soon", f"ends on {certificate.not_valid_after_utc:%Y-%m-%d}")
    return AccountFinding(
        check, None, f"number {certificate.serial_number}, ends {certificate.not_valid_after_utc:%Y-%m-%d}"
    )


def _authority(credentials: UnionPayCredentials, now: datetime) -> list[AccountFinding]:
    roots = read_certificates(credentials.root_certificates)
    middles = read_certificates(credentials.middle_certificates)
    findings = [_period("root_certificate", root, now) for root in roots]
    for middle in middles:
        issued = any(is_issued(middle, root, is_pinned=True) for root in roots)
        findings.append(
            _period("middle_certificate", middle, now)
            if issued
            else AccountFinding(
                "middle_certificate", "not_issued_by_root", "no certificate of root_certificates issued it"
            )
        )
    return findings


def _answer(reply: HttpReply, keys: UnionPayKeys, now: datetime) -> list[AccountFinding]:
    try:
        answer = read_answer(reply.body)
        keys.verify(answer, now=now)
    except NotAuthentic as error:
        fault, advice = _NOT_AUTHENTIC[str(error)]
        return [AccountFinding("platform_certificate", fault, advice)]
    findings = [AccountFinding("platform_certificate", None, "the answer is UnionPay's")]
    code = answer.get("respCode", "")
    if code in _REFUSALS:
        findings.append(AccountFinding(*_REFUSALS[code]))
    else:
        findings.append(AccountFinding("merchant_key", None, f"UnionPay accepts the signature (answer {code})"))
    return findings
