"""What the Stripe simulator and its one account know of each other."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from hutong.sandbox.keys import kept


@dataclass(frozen=True, slots=True)
class StripeSandboxKeys:
    """What the Stripe simulator and its one account know of each other.

    Attributes:
        secret_key: What the account calls with.
        webhook_secret: Signs the messages that its endpoint is sent.
        next_webhook_secret: Takes its place when the endpoint's secret is rolled.
    """

    secret_key: str
    webhook_secret: str
    next_webhook_secret: str

    @classmethod
    def load(cls, folder: Path) -> StripeSandboxKeys:
        """Read the secrets of a folder; what is missing is made and kept."""
        return cls(
            secret_key=kept(folder / "secret_key", lambda: f"sk_test_{secrets.token_hex(24)}"),
            webhook_secret=kept(folder / "webhook_secret", lambda: f"whsec_{secrets.token_hex(24)}"),
            next_webhook_secret=kept(folder / "next_webhook_secret", lambda: f"whsec_{secrets.token_hex(24)}"),
        )

    def credentials(self, base_url: str) -> dict[str, object]:
        """The credentials of a channel account that points at this simulator."""
        return {
            "secret_key": self.secret_key,
            "webhook_secrets": [self.webhook_secret, self.next_webhook_secret],
            "base_url": base_url,
        }

    def sign(self, body: bytes, timestamp: int, *, rolled: int) -> str:
        """The signature header of a message.

        Args:
            rolled: 0 signs with the first secret; 1 with both, as Stripe does while the old one has not ended; 2 with
                the next one alone.
        """
        message = str(timestamp).encode() + b"." + body
        with_secrets = (self.webhook_secret, self.next_webhook_secret)[rolled // 2 : rolled + 1]
        signed = [hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in with_secrets]
        return ",".join([f"t={timestamp}", *(f"v1={signature}" for signature in signed)])
