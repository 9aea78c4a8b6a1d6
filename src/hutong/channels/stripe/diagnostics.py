"""Diagnosis of a Stripe account, without touching money."""

from __future__ import annotations

from hutong.channels.errors import NoAnswer
from hutong.channels.protocol import AccountFinding
from hutong.channels.stripe.client import StripeClient, StripeReply

_REQUIRED_EVENTS = frozenset(
    {"payment_intent.succeeded", "payment_intent.payment_failed", "refund.created", "refund.updated", "refund.failed"}
    | {f"charge.dispute.{verb}" for verb in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")}
)
_SECRETS = (
    "Not tested: Stripe shows an endpoint's secret in the Dashboard only. If it is wrong, every event is refused: "
    "resend one there, and look for notification_refused in the log or denied.notification in the audit journal."
)
_KEY_FAULTS = {
    "api_key_expired": ("secret_key_expired", "The secret key has expired or was rolled; take the new one."),
    "platform_api_key_expired": ("secret_key_expired", "The platform's key has expired; take the new one."),
    "secret_key_required": ("publishable_key", "This is a publishable key; a secret or restricted key is needed."),
}


async def diagnose(client: StripeClient, *, livemode: bool) -> list[AccountFinding]:
    """Check host, key, mode and webhook endpoint; stop at a fault that makes the other checks impossible."""
    try:
        reply = await client.get("/v1/balance")
    except NoAnswer as error:
        return [_host(error)]
    findings = [AccountFinding("host", None, "Stripe answers.")]
    key = _key(reply)
    if key.fault is not None:
        return [*findings, key]
    mode = reply.content.get("livemode")
    fits = mode is livemode
    advice = f"The key is for {'live' if livemode else 'test'} mode."
    findings += [
        key,
        AccountFinding("mode", None if fits else "mode_mismatch", advice if fits else advice + " Stripe differs."),
    ]
    try:
        findings.append(_disputes(await client.get("/v1/disputes", {"limit": "1"})))
        findings.append(_endpoints(await client.get("/v1/webhook_endpoints", {"limit": "100"})))
    except NoAnswer as error:
        findings.append(_host(error))
    return [*findings, AccountFinding("webhook_secrets", None, _SECRETS)]


def _host(error: NoAnswer) -> AccountFinding:
    code = error.answer.channel_code
    if code == "not_sent":
        return AccountFinding(
            "host", "unreachable_host", "No connection to base_url: check the address, DNS and firewall."
        )
    if code == "unreadable":
        return AccountFinding("host", "not_stripe", "The server at base_url does not speak Stripe's protocol.")
    return AccountFinding("host", "no_answer", "base_url accepts connections but did not answer in time.")


def _key(reply: StripeReply) -> AccountFinding:
    if reply.ok:
        return AccountFinding("secret_key", None, "Stripe accepts the key.")
    code = str(reply.error.get("code", ""))
    if code in _KEY_FAULTS:
        return AccountFinding("secret_key", *_KEY_FAULTS[code])
    if reply.status == 401:
        return AccountFinding("secret_key", "wrong_secret_key", "Stripe does not know this key.")
    if reply.status == 403:
        return AccountFinding("secret_key", "not_permitted", "The restricted key may not read the balance; grant it.")
    return AccountFinding("secret_key", "no_answer", f"Stripe answered with status {reply.status}; try again.")


def _disputes(reply: StripeReply) -> AccountFinding:
    if reply.ok:
        return AccountFinding("disputes", None, "The key may read disputes; whether it may answer them is not tested.")
    if reply.status == 403:
        return AccountFinding("disputes", "not_permitted", "The restricted key may not read disputes; grant write.")
    return AccountFinding("disputes", "no_answer", f"Stripe answered with status {reply.status}; try again.")


def _endpoints(reply: StripeReply) -> AccountFinding:
    data = reply.content.get("data")
    if reply.status == 403:
        return AccountFinding(
            "webhook_endpoint", None, "The restricted key may not read webhook endpoints: check them in the Dashboard."
        )
    if not reply.ok or not isinstance(data, list):
        return AccountFinding(
            "webhook_endpoint", "no_answer", f"Stripe answered with status {reply.status}; try again."
        )
    enabled = [endpoint for endpoint in data if isinstance(endpoint, dict) and endpoint.get("status") == "enabled"]
    if not enabled:
        return AccountFinding("webhook_endpoint", "no_webhook_endpoint", "The account has no enabled webhook endpoint.")
    for endpoint in enabled:
        events = endpoint.get("enabled_events")
        if isinstance(events, list) and ("*" in events or set(events) >= _REQUIRED_EVENTS):
            return AccountFinding("webhook_endpoint", None, "An endpoint receives the required events.")
    return AccountFinding(
        "webhook_endpoint", "events_not_enabled", f"No endpoint receives all of: {', '.join(sorted(_REQUIRED_EVENTS))}."
    )
