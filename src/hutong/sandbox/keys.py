"""The sandbox's key material: made once, kept as files, so that accounts made for it stay good."""

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

MCHID = "1900000109"
APPID = "wxd678efh567hg6787"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000001092024101500000000000001"
_TEN_YEARS = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key with the certificate that names it."""

    key: rsa.RSAPrivateKey
    key_pem: str
    certificate_pem: str
    serial: str
    not_before: datetime
    not_after: datetime

    @property
    def public_pem(self) -> str:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass(frozen=True, slots=True)
class SandboxKeys:
    """What the WeChat Pay simulator and its one merchant know of each other.

    Attributes:
        merchant: Signs the merchant's requests.
        platform: Signs for WeChat in certificate mode.
        public: Signs for WeChat in public-key mode, under the id `PUBLIC_KEY_ID`.
        api_v3_key: 32 characters.
    """

    merchant: Pair
    platform: Pair
    public: Pair
    api_v3_key: str

    @classmethod
    def load(cls, folder: Path) -> SandboxKeys:
        """Read the keys of a folder; what is missing is made and kept, the folder closed to other users."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(
            merchant=_pair(folder, "merchant"),
            platform=_pair(folder, "platform"),
            public=_pair(folder, "public"),
            api_v3_key=_kept(folder / "api_v3_key", lambda: secrets.token_hex(16)),
        )

    def wechat_credentials(self, base_url: str, *, public_key_mode: bool = True) -> dict[str, object]:
        """The credentials of a channel account that points at this simulator.

        Args:
            base_url: Where the simulator listens, such as "http://127.0.0.1:8090".
            public_key_mode: Have answers signed with the public key, as WeChat does for new merchants; otherwise
                with the platform certificate. Both are known to the account.
        """
        platform_keys = {self.platform.serial: self.platform.certificate_pem}
        if public_key_mode:
            platform_keys = {PUBLIC_KEY_ID: self.public.public_pem} | platform_keys
        return {
            "mchid": MCHID,
            "appid": APPID,
            "merchant_serial": self.merchant.serial,
            "merchant_private_key": self.merchant.key_pem,
            "api_v3_key": self.api_v3_key,
            "platform_keys": platform_keys,
            "base_url": base_url,
        }


def _pair(folder: Path, name: str) -> Pair:
    pem = _kept(folder / f"{name}.pem", lambda: _make(name))
    key = load_pem_private_key(pem.encode(), password=None)
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
    """A new key and its self-signed certificate, in one PEM file so that they cannot part."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hutong sandbox {name}")])
    start = datetime(2020, 1, 1, tzinfo=UTC)  # before any clock that a test may set
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1 << 158 | secrets.randbits(158))  # always 40 hexadecimal digits, as WeChat's are
        .not_valid_before(start)
        .not_valid_after(start + 2 * _TEN_YEARS)
        .sign(key, SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (key_pem + certificate.public_bytes(Encoding.PEM)).decode()


def _kept(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process was first; its keys are the ones
        finally:
            temporary.unlink()
    return path.read_text()
