"""What may be wrong with an Alipay account, looked for without touching money."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from hutong.channels.alipay.client import Gateway, NoWord
from hutong.channels.alipay.credentials import AlipayKeys
from hutong.channels.protocol import Finding

_NOBODY = "hutong_diagnose"
"""A number that no order of ours has."""
_SKEW_MAX_S = 300

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
        "this application signs with certificates; give app_certificate and what belongs to it",
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
    "unsigned": ("alipay_key", "unsigned", "the answer carries no signature; is base_url Alipay's?"),
    "unreadable": ("host", "not_alipay", "what answers at base_url is not Alipay"),
    "no_answer": ("host", "no_answer", "Alipay was reached but did not answer"),
    "not_sent": ("host", "unreachable", "Alipay cannot be reached; check the network, DNS and base_url"),
    "bad_signature": (
        "alipay_key",
        "alipay_key_mismatch",
        "the answer is not signed with any key given; Alipay's public key is not the application's own public key",
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
        "Alipay signs with a certificate; give app_certificate and what belongs to it",
    ),
}


async def diagnose(gateway: Gateway, keys: AlipayKeys, *, now: datetime) -> list[Finding]:
    """Look at the certificates, at Alipay's clock, and at the answer to a question about an order that is none."""
    found = _certificates(keys, now)
    code = None
    try:
        node = await gateway.call("alipay.trade.query", {"out_trade_no": _NOBODY}, now=now)
        if node.get("sub_code") != "ACQ.TRADE_NOT_EXIST":
            code = str(node.get("sub_code") or node.get("code"))
    except NoWord as nothing:
        code = nothing.answer.channel_code or nothing.reason
        if code not in _FAULTS:
            code = nothing.reason
    found.append(_clock(gateway.date, now))
    if code is None:
        found.append(Finding("alipay_key", None, "Alipay took our signature and we proved its own"))
        return found
    if code == "unknown_key":
        found.append(Finding(*_UNKNOWN_KEY[keys.certificate_mode]))
    else:
        found.append(Finding(*_FAULTS.get(code, ("answer", "refused", f"Alipay refused a question: {code}"))))
    return found


def _certificates(keys: AlipayKeys, now: datetime) -> list[Finding]:
    if not keys.certificate_mode:
        return []
    ours = keys.app_certificate
    found = [_validity("app_certificate", ours.not_valid_before_utc, ours.not_valid_after_utc, now)]
    found += [
        _validity("alipay_certificate", known.not_before, known.not_after, now) for known in keys.alipay_certificates
    ]
    return found


def _validity(check: str, start: datetime, end: datetime, now: datetime) -> Finding:
    if now > end:
        return Finding(check, "certificate_expired", f"expired on {end:%Y-%m-%d}; get a new one from Alipay")
    if now < start:
        return Finding(check, "certificate_not_yet_valid", f"valid from {start:%Y-%m-%d}; is the clock right?")
    return Finding(check, None, f"valid until {end:%Y-%m-%d}")


def _clock(date: str | None, now: datetime) -> Finding:
    """Whether our clock and Alipay's agree."""
    try:
        theirs = parsedate_to_datetime(date or "").astimezone(UTC)
    except ValueError:
        return Finding("clock", None, "Alipay's answer tells no time")
    skew_s = round((now - theirs).total_seconds())
    if abs(skew_s) > _SKEW_MAX_S:
        return Finding("clock", "clock_skew", f"this machine's clock is {skew_s} s ahead of Alipay's; set it")
    return Finding("clock", None, f"{skew_s} s ahead of Alipay's")
