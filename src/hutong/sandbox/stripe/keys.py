"""Secrets of the Stripe simulator and of its one account."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from hutong.sandbox.keys import load_or_create


@dataclass(frozen=True, slots=True)
class StripeSandboxKeys:
    """Secrets of the Stripe simulator and of its one account.

    Attributes:
        secret_key: The account's API key.
        webhook_secret: Signs the events for its endpoint.
        publishable_key: The account's public key, with which the payer's browser confirms an intent.
        next_webhook_secret: Replaces `webhook_secret` when the endpoint's secret is rolled.
    """

    secret_key: str
    publishable_key: str
    webhook_secret: str
    next_webhook_secret: str

    @classmethod
    def load(cls, folder: Path) -> StripeSandboxKeys:
        """Load the secrets from a folder; create missing ones."""
        return cls(
            secret_key=load_or_create(folder / "secret_key", lambda: f"sk_test_{secrets.token_hex(24)}"),
            publishable_key=load_or_create(folder / "publishable_key", lambda: f"pk_test_{secrets.token_hex(24)}"),
            webhook_secret=load_or_create(folder / "webhook_secret", lambda: f"whsec_{secrets.token_hex(24)}"),
            next_webhook_secret=load_or_create(
                folder / "next_webhook_secret", lambda: f"whsec_{secrets.token_hex(24)}"
            ),
        )

    def credentials(self, base_url: str) -> dict[str, object]:
        """Return the credentials of a channel account that points at this simulator."""
        return {
            "secret_key": self.secret_key,
            "publishable_key": self.publishable_key,
            "webhook_secrets": [self.webhook_secret, self.next_webhook_secret],
            "base_url": base_url,
        }

    def sign(self, body: bytes, timestamp: int, *, rolled: int) -> str:
        """Return the signature header of an event.

        Args:
            rolled: 0 signs with the first secret; 1 with both, as Stripe does until the old one expires; 2 with the
                next one alone.
        """
        message = str(timestamp).encode() + b"." + body
        with_secrets = (self.webhook_secret, self.next_webhook_secret)[rolled // 2 : rolled + 1]
        signed = [hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in with_secrets]
        return ",".join([f"t={timestamp}", *(f"v1={signature}" for signature in signed)])
