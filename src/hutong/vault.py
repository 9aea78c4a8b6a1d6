"""Secrets at rest: AES-256-GCM under a named key, bound to the place of storage."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hutong.durable_files import sync_folder
from hutong.errors import ConfigurationError, CredentialsUnreadable

_VERSION = b"\x01"
_KEY_BYTES = 32
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEADER_BYTES = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES


class Vault:
    """A set of keys: the first one encrypts, each of them decrypts, so that keys rotate without an outage.

    Args:
        keys: 32 bytes each; the first is the current one.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise ConfigurationError("a secret key is 32 bytes, written in base64", param="HUTONG_SECRET_KEY")
        self._keys = {hashlib.sha256(key).digest()[:_KEY_ID_BYTES]: AESGCM(key) for key in keys}
        self._current = next(iter(self._keys))
        self._secrets = tuple(keys)

    def derive_key(self, purpose: str) -> bytes:
        """Return a key of 32 bytes for another purpose than sealing.

        It comes from the oldest key, which is the last one configured, so that it stays the same when a new key is put
        in front.
        """
        return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"hutong:{purpose}".encode()).derive(self._secrets[-1])

    def seal(self, plaintext: bytes, *, context: str) -> bytes:
        """Encrypt for storage at `context`, such as "channel_account:acc_…"; the result decrypts nowhere else."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._keys[self._current].encrypt(nonce, plaintext, context.encode())
        return _VERSION + self._current + nonce + sealed

    def fingerprints(self, salt: bytes) -> list[str]:
        """Return a mark of each key, the current one first: it recognizes a key and reveals nothing of it."""
        return [hmac.new(key, b"hutong key fingerprint" + salt, hashlib.sha256).hexdigest() for key in self._secrets]

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt the result of `seal` for the same context.

        Errors:
            CredentialsUnreadable: the key is not configured.
            ConfigurationError: the bytes were altered or moved to another place.
        """
        key_id, nonce, body = sealed[1:5], sealed[5:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        if sealed[:1] != _VERSION or len(sealed) < _HEADER_BYTES:
            raise ConfigurationError("a stored secret was altered or moved")
        key = self._keys.get(key_id)
        if key is None:
            raise CredentialsUnreadable("a stored secret was sealed with a key that is not configured")
        try:
            return key.decrypt(nonce, body, context.encode())
        except InvalidTag as error:
            raise ConfigurationError("a stored secret was altered or moved") from error


def decode_keys(text: str) -> list[bytes]:
    """Read keys written in base64, separated by commas, the current one first.

    Errors:
        ConfigurationError: the text is not base64.
    """
    try:
        return [base64.b64decode(part.strip(), validate=True) for part in text.split(",")]
    except ValueError as error:
        raise ConfigurationError("a secret key is not base64", param="HUTONG_SECRET_KEY") from error


def key_file(path: Path) -> list[bytes]:
    """Read the keys of a file, one per line. A missing file is created with one new key and mode 0600.

    Errors:
        ConfigurationError: others may read the file, or it does not hold keys. The file is never replaced: secrets
            sealed with its keys would be lost.
    """
    if not path.exists():
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process created the file first; its key counts
        finally:
            os.unlink(temporary)
        sync_folder(path.parent)  # before a secret is sealed with the key
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"others may read the key file; run: chmod 600 {path}")
    try:
        keys = [base64.b64decode(line, validate=True) for line in path.read_bytes().split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise ConfigurationError(f"{path} does not hold keys of {_KEY_BYTES} bytes in base64; restore it from a backup")
    return keys
