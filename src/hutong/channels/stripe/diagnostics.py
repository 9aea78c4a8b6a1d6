"""Stripe: what may be wrong with an account's credentials, named exactly. Nothing here touches money."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from hutong.channels.protocol import Finding
from hutong.channels.stripe.client import NoWord, Reply, StripeWire

_SKEW_MAX_S = 60
_NEEDED = frozenset({"payment_intent.succeeded", "payment_intent.payment_failed", "refund.updated", "refund.failed"})
_KEY_FAULTS = {
    "api_key_expired": ("secret_key_expired", "The secret key has expired or was rolled; take the new one."),
    "platform_api_key_expired": ("secret_key_expired", "The platform's key has expired; take the new one."),
    "secret_key_required": ("publishable_key", "This is a publishable key; a secret or restricted key is needed."),
}


async def examine(wire: StripeWire, *, livemode: bool, now: datetime) -> list[Finding]:
    """Look at host, key, mode, clock and webhook endpoint; stops at the first that leaves nothing more to see."""
    try:
        reply = await wire.get("/v1/balance")
    except NoWord as nothing:
        return [_host(nothing)]
    found = [Finding("host", None, "Stripe answers."), _clock(reply, now)]
    key = _key(reply)
    if key.fault is not None:
        return [*found, key]
    mode = reply.content.get("livemode")
    fits = mode is livemode
    advice = f"The key is for {'live' if livemode else 'test'} mode."
    found += [key, Finding("mode", None if fits else "mode_mismatch", advice if fits else advice + " Stripe differs.")]
    try:
        found.append(_endpoints(await wire.get("/v1/webhook_endpoints", {"limit": "100"})))
    except NoWord as nothing:
        found.append(_host(nothing))
    return found


def _host(nothing: NoWord) -> Finding:
    code = nothing.answer.channel_code
    if code == "not_sent":
        return Finding("host", "unreachable_host", "No connection to base_url: check the address, DNS and firewall.")
    if code == "unreadable":
        return Finding("host", "not_stripe", "What answers at base_url does not speak Stripe's protocol.")
    return Finding("host", "no_answer", "base_url takes connections but did not answer in time.")


def _clock(reply: Reply, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return Finding("clock", None, "Stripe did not say its time.")
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    skew = round((now - theirs).total_seconds())
    if abs(skew) > _SKEW_MAX_S:
        return Finding(
            "clock", "clock_skew", f"The clock of this machine is off by {skew} s; messages are refused above 300 s."
        )
    return Finding("clock", None, "The clock agrees with Stripe's.")


def _key(reply: Reply) -> Finding:
    if reply.ok:
        return Finding("secret_key", None, "Stripe takes the key.")
    code = str(reply.error.get("code", ""))
    if code in _KEY_FAULTS:
        return Finding("secret_key", *_KEY_FAULTS[code])
    if reply.status == 401:
        return Finding("secret_key", "wrong_secret_key", "Stripe does not know this key.")
    if reply.status == 403:
        return Finding("secret_key", "not_permitted", "The restricted key may not read the balance; grant it.")
    return Finding("secret_key", "no_answer", f"Stripe answered with status {reply.status}; try again.")


def _endpoints(reply: Reply) -> Finding:
    data = reply.content.get("data")
    if reply.status == 403:
        return Finding("webhook_endpoint", None, "The restricted key may not read webhook endpoints: look yourself.")
    if not reply.ok or not isinstance(data, list):
        return Finding("webhook_endpoint", "no_answer", f"Stripe answered with status {reply.status}; try again.")
    enabled = [thing for thing in data if isinstance(thing, dict) and thing.get("status") == "enabled"]
    if not enabled:
        return Finding("webhook_endpoint", "no_webhook_endpoint", "The account has no enabled webhook endpoint.")
    for endpoint in enabled:
        events = endpoint.get("enabled_events")
        if isinstance(events, list) and ("*" in events or set(events) >= _NEEDED):
            return Finding("webhook_endpoint", None, "An endpoint receives the events that are needed.")
    return Finding(
        "webhook_endpoint", "events_not_enabled", f"No endpoint is sent all of: {', '.join(sorted(_NEEDED))}."
    )
