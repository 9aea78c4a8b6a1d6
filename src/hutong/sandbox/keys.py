"""Key material of the simulators: created once and kept as files, so that accounts stay valid across restarts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

_TEN_YEARS = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key with its certificate."""

    key: rsa.RSAPrivateKey
    key_pem: str
    certificate_pem: str
    serial: str
    not_before: datetime
    not_after: datetime

    @property
    def public_pem(self) -> str:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def pair(folder: Path, name: str) -> Pair:
    """Load the key and certificate of this name from a folder; create and keep missing ones."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = load_or_create(folder / f"{name}.pem", lambda: _make(name))
    key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)  # created here
    certificate = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{name}.pem does not hold an RSA key")
    return Pair(
        key=key,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        certificate_pem=certificate.public_bytes(Encoding.PEM).decode(),
        serial=f"{certificate.serial_number:X}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _make(name: str) -> str:
    """Create a key and its self-signed certificate, in one PEM file so that they stay together."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hutong sandbox {name}")])
    start = datetime(2020, 1, 1, tzinfo=UTC)  # before any clock that a test may set
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1 << 158 | secrets.randbits(158))  # always 40 hexadecimal digits, like WeChat's
        .not_valid_before(start)
        .not_valid_after(start + 2 * _TEN_YEARS)
        .sign(key, SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (key_pem + certificate.public_bytes(Encoding.PEM)).decode()


def load_or_create(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file that only its owner can read; create a missing file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first, and its keys are used
        finally:
            temporary.unlink()
    return path.read_text()
