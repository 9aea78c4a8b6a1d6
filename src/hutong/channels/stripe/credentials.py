"""Stripe: the credentials of an account, and the verification of its notifications.

Requests carry the secret key over TLS; answers are not signed and are trusted because TLS proves the host.
Notifications are signed with HMAC-SHA256 under a secret that Stripe gives to each webhook endpoint. The scheme is fixed
here: of a signature header only `v1` counts, whatever else it contains.

Source:
    https://docs.stripe.com/webhooks#verify-manually, https://docs.stripe.com/keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from hutong.channels.address import base_url
from hutong.channels.errors import NotAuthentic
from hutong.channels.stripe.requests import CARD, ELEMENT, METHODS, PAGE

HOST = "https://api.stripe.com"
_WINDOW_S = 300
_SECRET_KEY = re.compile(r"(?:sk|rk)_(?:test|live)_[A-Za-z0-9]{8,240}")
_PUBLISHABLE_KEY = re.compile(r"pk_(?:test|live)_[A-Za-z0-9]{8,240}")
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{16,240}")


class StripeCredentials(BaseModel):
    """One account at Stripe.

    Attributes:
        secret_key: `sk_…`, or a restricted key `rk_…` that may write PaymentIntents, Checkout Sessions and refunds and
            read balance transactions. A live key moves money, a test key does not.
        publishable_key: `pk_…`, which the payer's browser passes to Stripe's own form; not secret.
        methods: Those that the account offers. `stripe_element` needs the publishable key; the others are to be
            enabled in Stripe's dashboard.
        webhook_secrets: The signing secret of the webhook endpoint, `whsec_…`; two during a rotation.
        base_url: The address of Stripe.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    secret_key: SecretStr
    webhook_secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1, max_length=4)]
    publishable_key: str | None = None
    methods: Annotated[tuple[str, ...], Field(min_length=1, max_length=len(METHODS))] = (CARD, PAGE)
    base_url: str = HOST

    @field_validator("secret_key")
    @classmethod
    def _is_secret_key(cls, value: SecretStr) -> SecretStr:
        if not _SECRET_KEY.fullmatch(value.get_secret_value()):
            raise ValueError("must be a secret key (sk_test_…, sk_live_…) or a restricted key (rk_…)")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _are_signing_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_WEBHOOK_SECRET.fullmatch(secret.get_secret_value()) for secret in value):
            raise ValueError("must be signing secrets of webhook endpoints (whsec_…)")
        return value

    @field_validator("publishable_key")
    @classmethod
    def _is_publishable_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not _PUBLISHABLE_KEY.fullmatch(value):
            raise ValueError("must be a publishable key (pk_test_…, pk_live_…)")
        secret_key = info.data.get("secret_key")
        if value is not None and secret_key is not None and _mode(value) != _mode(secret_key.get_secret_value()):
            raise ValueError("must be of the secret key's mode, test or live")
        return value

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not METHODS.keys() >= set(value) or len(set(value)) != len(value):
            raise ValueError(f"must be of {', '.join(METHODS)}, each once")
        if ELEMENT in value and info.data.get("publishable_key") is None:
            raise ValueError(f"{ELEMENT} needs a publishable_key")
        return value

    @field_validator("base_url")
    @classmethod
    def _is_base_url(cls, value: str, info: ValidationInfo) -> str:
        return base_url(value, info)


def _mode(key: str) -> str:
    return key.split("_")[1]


class StripeKeys:
    """An account's secrets, parsed once."""

    def __init__(self, credentials: StripeCredentials) -> None:
        key = credentials.secret_key.get_secret_value()
        self._authorization = SecretStr(f"Bearer {key}")
        self._webhook_secrets: Sequence[SecretStr] = credentials.webhook_secrets
        self.livemode = _mode(key) == "live"
        """Whether money moves. An object of the other mode is not about this account."""

    def authorize(self) -> str:
        """Return the Authorization header of a request."""
        return self._authorization.get_secret_value()

    def verify(self, header: str, body: bytes, *, now: datetime) -> None:
        """Verify that the message is Stripe's and at most five minutes old.

        Args:
            header: `t=…,v1=…`, with several `v1` during the rotation of an endpoint's secret.

        Errors:
            NotAuthentic: unsigned, stale, or signed with none of our secrets.
        """
        pairs = [part.partition("=") for part in header.split(",")]
        times = [value for name, _, value in pairs if name == "t"]
        signatures = [value for name, _, value in pairs if name == "v1"]
        if len(times) != 1 or not signatures:
            raise NotAuthentic("unsigned")
        (timestamp,) = times
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise NotAuthentic("stale")
        if abs(int(timestamp) - now.timestamp()) > _WINDOW_S:
            raise NotAuthentic("stale")
        message = timestamp.encode() + b"." + body
        proven = False
        for secret in self._webhook_secrets:
            expected = hmac.new(secret.get_secret_value().encode(), message, hashlib.sha256).hexdigest().encode()
            for signature in signatures:
                # Every pair is compared, each in constant time.
                proven |= hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
        if not proven:
            raise NotAuthentic("bad_signature")
