"""RSA keys in PEM, or in the bare base64 of their bytes that some channels' tools write."""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

KEY_BITS_MIN = 2048


def _bare(text: str) -> bytes | None:
    """Return the bytes of a key in base64 without PEM's frame; None where it has one."""
    if "-----BEGIN" in text:
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("must be PEM or base64") from None


def private_key(text: str, *, checked: bool = False) -> rsa.RSAPrivateKey:
    """Read the application's key.

    Args:
        checked: The key was read before, so the slow proof that its numbers fit is skipped.

    Errors:
        ValueError: not an unencrypted RSA key of at least 2,048 bits.
    """
    try:
        bare = _bare(text)
        if bare is None:
            key = load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=checked)
        else:
            key = load_der_private_key(bare, password=None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError):
        raise ValueError("must be an unencrypted private key in PEM or base64") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise ValueError("must be an RSA key of at least 2048 bits")
    return key


def public_key(text: str) -> rsa.RSAPublicKey:
    """Read one of Alipay's public keys.

    Errors:
        ValueError: not an RSA key of at least 2,048 bits.
    """
    try:
        bare = _bare(text)
        key = load_pem_public_key(text.encode()) if bare is None else load_der_public_key(bare)
    except (ValueError, TypeError):
        raise ValueError("must be public keys in PEM or base64") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS_MIN:
        raise ValueError("must be RSA keys of at least 2048 bits")
    return key
