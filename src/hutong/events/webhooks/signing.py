"""The signatures of Standard Webhooks, and the keys that they are made with."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from hutong.events.model import Scheme

_SECRET_BYTES = 32
_PRIVATE = "whsk_"
_RSA_BITS = 2048

Signer = Callable[[str, datetime, str], str]
"""Signs an id, an instant and a body; returns one entry of the header `webhook-signature`."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs an endpoint's requests.

    Attributes:
        secret: Kept sealed. For HMAC the merchant has it too.
        public: The key that verifies the signatures, where it differs; not secret.
    """

    secret: str
    public: str | None


def new_key(scheme: Scheme, random_bytes: Callable[[int], bytes]) -> SigningKey:
    """Make a key: `whsec_…` for HMAC, `whpk_…` for Ed25519, for RSA2 a public key in one line of base64.

    Args:
        random_bytes: The source of secrets, except for RSA2, whose key takes more than bytes and some 0.1 s.
    """
    if scheme is Scheme.HMAC:
        return SigningKey("whsec_" + _base64(random_bytes(_SECRET_BYTES)), None)
    if scheme is Scheme.ED25519:
        seed = random_bytes(_SECRET_BYTES)
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return SigningKey(_PRIVATE + _base64(seed), "whpk_" + _base64(public))
    key = rsa.generate_private_key(65537, _RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return SigningKey(private.decode(), _base64(key.public_key().public_bytes(serialization.Encoding.DER, spki)))


def signer(secret: str) -> Signer:
    """Return the signer of a secret of Standard Webhooks: `v1,…` by HMAC, `v1a,…` by Ed25519."""
    if not secret.startswith(_PRIVATE):
        sign: Signer = Webhook(secret).sign
        return sign
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret.removeprefix(_PRIVATE)))

    def sign_asymmetrically(name: str, now: datetime, body: str) -> str:
        return "v1a," + _base64(key.sign(f"{name}.{int(now.timestamp())}.{body}".encode()))

    return sign_asymmetrically


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
