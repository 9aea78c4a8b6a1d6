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
    """

    secret_key: str
    webhook_secret: str

    @classmethod
    def load(cls, folder: Path) -> StripeSandboxKeys:
        """Read the secrets of a folder; what is missing is made and kept."""
        return cls(
            secret_key=kept(folder / "secret_key", lambda: f"sk_test_{secrets.token_hex(24)}"),
            webhook_secret=kept(folder / "webhook_secret", lambda: f"whsec_{secrets.token_hex(24)}"),
        )

    def credentials(self, base_url: str) -> dict[str, object]:
        """The credentials of a channel account that points at this simulator."""
        return {
            "secret_key": self.secret_key,
            "webhook_secrets": [self.webhook_secret],
            "base_url": base_url,
        }

    def sign(self, body: bytes, timestamp: int) -> str:
        """The signature header of a message."""
        message = str(timestamp).encode() + b"." + body
        return f"t={timestamp},v1={hmac.new(self.webhook_secret.encode(), message, hashlib.sha256).hexdigest()}"
