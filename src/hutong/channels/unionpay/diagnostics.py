"""What is wrong with a UnionPay account, named exactly, without touching money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from hutong.channels.errors import ChannelUnreachable
from hutong.channels.http import Http, HttpReply
from hutong.channels.protocol import Finding
from hutong.channels.unionpay.client import Unreadable, read_answer
from hutong.channels.unionpay.credentials import UnionPayCredentials, UnionPayKeys, Unproven, read_certificates

_SOON = timedelta(days=30)
_SKEW = timedelta(minutes=5)

_REFUSALS = {
    "11": ("merchant_key", "wrong_key", "UnionPay does not accept the signature: register this certificate"),
    "31": ("merchant", "merchant_inactive", "UnionPay says that the merchant is not active"),
    "32": ("merchant", "not_permitted", "UnionPay says that the merchant may not do this"),
    "10": ("charset", "format_refused", "UnionPay cannot read the request: check its encoding"),
}
_UNPROVEN = {
    "unsigned": ("unsigned_answer", "something else than UnionPay answers at base_url"),
    "unknown_key": (
        "unknown_signer",
        "root_certificates, middle_certificates or signer_name are not those of UnionPay",
    ),
    "stale": ("certificate_expired", "UnionPay's certificate is not valid at this machine's time: check the clock"),
    "bad_signature": ("bad_signature", "the answer was changed on its way"),
    "charset": ("wrong_charset", "the answer is not in UTF-8"),
    "unreadable": ("unreadable_answer", "something else than UnionPay answers at base_url"),
}


async def diagnose(
    credentials: UnionPayCredentials, keys: UnionPayKeys, http: Http, body: bytes, now: datetime
) -> list[Finding]:
    """Look at the certificates and send one signed query, `body`, for an order that cannot exist."""
    findings = [_period("merchant_certificate", keys.certificate, now), *_authority(credentials, now)]
    url = f"{credentials.base_url}/gateway/api/queryTrans.do"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    try:
        reply = await http.call("POST", url, headers=headers, body=body)
    except ChannelUnreachable as error:
        fault = "no_answer" if error.sent else "unreachable"
        return [*findings, Finding("gateway", fault, f"{credentials.base_url}: {error.detail}")]
    return [*findings, Finding("gateway", None, "it answers"), _clock(reply, now), *_answer(reply, keys, now)]


def _period(check: str, certificate: x509.Certificate, now: datetime) -> Finding:
    if now < certificate.not_valid_before_utc:
        return Finding(check, "certificate_not_yet_valid", f"valid from {certificate.not_valid_before_utc:%Y-%m-%d}")
    if now > certificate.not_valid_after_utc:
        return Finding(check, "certificate_expired", f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if now > certificate.not_valid_after_utc - _SOON:
        return Finding(check, "certificate_expires_soon", f"ends on {certificate.not_valid_after_utc:%Y-%m-%d}")
    return Finding(check, None, f"number {certificate.serial_number}, ends {certificate.not_valid_after_utc:%Y-%m-%d}")


def _authority(credentials: UnionPayCredentials, now: datetime) -> list[Finding]:
    roots = read_certificates(credentials.root_certificates)
    middles = read_certificates(credentials.middle_certificates)
    findings = [_period("root_certificate", root, now) for root in roots]
    for middle in middles:
        issued = any(_issued(middle, root) for root in roots)
        findings.append(
            _period("middle_certificate", middle, now)
            if issued
            else Finding("middle_certificate", "not_issued_by_root", "no certificate of root_certificates issued it")
        )
    return findings


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _clock(reply: HttpReply, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError):
        return Finding("clock", None, "the gateway does not tell its time")
    skew = now - theirs
    if abs(skew) > _SKEW:
        return Finding("clock", "clock_skew", f"this machine is off by {int(skew.total_seconds())} seconds")
    return Finding("clock", None, "agrees with the gateway's")


def _answer(reply: HttpReply, keys: UnionPayKeys, now: datetime) -> list[Finding]:
    try:
        answer = read_answer(reply.body)
        keys.verify(answer, now=now)
    except (Unproven, Unreadable) as error:
        fault, advice = _UNPROVEN[str(error)]
        return [Finding("platform_certificate", fault, advice)]
    findings = [Finding("platform_certificate", None, "the answer is UnionPay's")]
    code = answer.get("respCode", "")
    if code in _REFUSALS:
        findings.append(Finding(*_REFUSALS[code]))
    else:
        findings.append(Finding("merchant_key", None, f"UnionPay takes the signature (answer {code})"))
    return findings
