"""Verify a webhook that is signed by Ed25519. Needs: pip install cryptography."""

import base64
import json
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verified(public_key, headers, body):
    headers = {name.lower(): value for name, value in headers.items()}
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    for version, _, signature in (each.partition(",") for each in headers.get("webhook-signature", "").split()):
        try:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            if version == "v1a" and abs(time.time() - int(headers["webhook-timestamp"])) < 300:
                key.verify(base64.b64decode(signature), signed)
                return json.loads(body)
        except (InvalidSignature, KeyError, ValueError):
            continue  # by another key, altered, or not complete
    return None  # answer 400
