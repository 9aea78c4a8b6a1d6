"""How a request proves that it comes from us: the signatures of Standard Webhooks, and the keys they are made with."""

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
"""Signs an id, an instant and a body: one entry of the header `webhook-signature`."""


@dataclass(frozen=True, slots=True)
class Key:
    """What an endpoint's requests are signed with.

    Attributes:
        secret: Kept sealed. For HMAC the merchant has it too.
        public: What verifies the signatures, where that is something else; no secret.
    """

    secret: str
    public: str | None


def new_key(scheme: Scheme, random_bytes: Callable[[int], bytes]) -> Key:
    """Make a key: `whsec_…` for HMAC, `whpk_…` for Ed25519, for RSA2 a public key in one line of base64.

    Args:
        random_bytes: Where secrets come from, but for RSA2, whose key takes more than bytes and some 0.1 s.
    """
    if scheme is Scheme.HMAC:
        return Key("whsec_" + _base64(random_bytes(_SECRET_BYTES)), None)
    if scheme is Scheme.ED25519:
        seed = random_bytes(_SECRET_BYTES)
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return Key(_PRIVATE + _base64(seed), "whpk_" + _base64(public))
    made = rsa.generate_private_key(65537, _RSA_BITS)
    private = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return Key(private.decode(), _base64(made.public_key().public_bytes(serialization.Encoding.DER, spki)))


def signer(secret: str) -> Signer:
    """What signs with a secret of Standard Webhooks: `v1,…` by HMAC, `v1a,…` by Ed25519."""
    if not secret.startswith(_PRIVATE):
        sign: Signer = Webhook(secret).sign
        return sign
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret.removeprefix(_PRIVATE)))

    def sign_asymmetrically(name: str, now: datetime, body: str) -> str:
        return "v1a," + _base64(key.sign(f"{name}.{int(now.timestamp())}.{body}".encode()))

    return sign_asymmetrically


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
