"""Verify a webhook of an endpoint with the scheme ed25519. Needs: pip install cryptography."""

import base64
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_genuine(public_key, headers, body):
    """`public_key` is the endpoint's whpk_…: base64 of the 32 bytes of the key; `headers` have lower-case names."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    for signature in headers["webhook-signature"].split(" "):
        try:
            key.verify(base64.b64decode(signature.removeprefix("v1a,")), f"{message_id}.{timestamp}.".encode() + body)
            return True
        except (InvalidSignature, ValueError):
            continue  # during a rotation there are two
    return False
