"""Stripe under the contract: a token whose card asks for 3-D Secure, so that the order waits for its payer."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from hutong.channels.stripe.adapter import Stripe
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from support.channel_rigs import Bench, Control, Rig, maker


class StripeRig(Rig):
    """A day of UTC is over when it is over: the adapter knows without asking."""

    def bill_now(self, now: datetime, day: date) -> datetime:
        return datetime.combine(day + timedelta(days=1), time(), UTC)


def make_rig(name: str, bench: Bench) -> Rig:
    keys = StripeSandboxKeys.load(bench.folder / "stripe")

    make = maker(Stripe, keys.credentials(bench.url), bench)
    return StripeRig(
        channel=make(),
        make=make,
        control=Control(bench.url, bench.session, "stripe"),
        method="card",
        currency="USD",
        has_coupons=False,
        payer={"token": "pm_card_threeDSecure2Required"},
        refusal=(400, "parameter_missing"),
        absent=(404, "resource_missing"),
        unproven={
            "unsigned": "unreadable",  # no answer is signed: what stands in for that is something else's page
            "malformed": "unreadable",
            "too_long": "no_answer",
        },
        stranger=None,
        notice_window=timedelta(seconds=300),
    )
