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


def private_key(text: str, *, checked: bool = False, bare: bool = False) -> rsa.RSAPrivateKey:
    """Read the key of an account.

    Args:
        checked: The key was read before, so the slow proof that its numbers fit is skipped.
        bare: It may also be in base64 without PEM's frame.

    Errors:
        ValueError: not an unencrypted RSA key of at least 2,048 bits.
    """
    try:
        raw = _bare(text) if bare else None
        if raw is None:
            key = load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=checked)
        else:
            key = load_der_private_key(raw, password=None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError):
        raise ValueError(f"must be an unencrypted private key in PEM{' or base64' if bare else ''}") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise ValueError("must be an RSA key of at least 2048 bits")
    return key


def public_key(text: str) -> rsa.RSAPublicKey:
    """Read one of a channel's public keys, in PEM or in base64 without its frame.

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
