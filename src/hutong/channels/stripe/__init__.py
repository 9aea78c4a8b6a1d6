"""The adapter of Stripe."""

from hutong.channels.stripe.adapter import Stripe

__all__ = ["Stripe"]
