"""Key material of the Alipay simulator and of its one merchant."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from hutong.sandbox.keys import Pair, load_or_create

APP_ID = "2021000118641234"
ISV_APP_ID = "2021000118649999"
"""A third-party application, which acts for the merchant of `APP_ID` by this token. It has the same key."""
AUTHORIZATION = "202601BB1ab1e7a0f6b14cffab6a7cef6c472X84"
SELLER_ID = "2088102146225135"
BUYER_ID = "2088101117955611"
_ALIPAY = "支付宝（中国）网络技术有限公司"
_MERCHANT = "某商户有限公司"
_START = datetime(2020, 1, 1, tzinfo=UTC)  # before any clock that a test may set
_END = _START + timedelta(days=7300)
_KEY_BEGIN = "-----BEGIN PRIVATE KEY"


def sn(certificate: x509.Certificate) -> str:
    """Return the serial number by which Alipay's interfaces name a certificate."""
    text = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class AlipaySandboxKeys:
    """Key material of the Alipay simulator.

    Attributes:
        root, authority: Alipay's root certificate, and the authority below it that issues the others.
        application: Signs the merchant's requests; its certificate is for certificate mode.
        platform: Signs for Alipay in certificate mode.
        successor: The successor of `platform`.
        public: Signs for Alipay in public-key mode.
        other_merchant: A certificate of the same authority that is not Alipay's.
    """

    root: Pair
    authority: Pair
    application: Pair
    platform: Pair
    successor: Pair
    public: Pair
    other_merchant: Pair

    @classmethod
    def load(cls, folder: Path) -> AlipaySandboxKeys:
        """Load the keys from a folder that other users cannot read; create missing ones."""
        root = _pair(folder, "root", "Ant Financial Certification Authority R1 (sandbox)", None)
        authority = _pair(folder, "authority", "Ant Financial Certification Authority Class 2 R1 (sandbox)", root)
        return cls(
            root=root,
            authority=authority,
            application=_pair(folder, "application", f"{SELLER_ID}-{APP_ID}", authority),
            platform=_pair(folder, "platform", f"{_ALIPAY}-2088", authority),
            successor=_pair(folder, "successor", f"{_ALIPAY}-2088", authority),
            public=_pair(folder, "public", f"{_ALIPAY}-2088", authority),
            other_merchant=_pair(folder, "other_merchant", "2088000000000000-2021000000000000", authority),
        )

    def chain(self, pair: Pair) -> str:
        """Return a certificate followed by its issuer's, as Alipay delivers its own."""
        return pair.certificate_pem + self.authority.certificate_pem

    def credentials(self, base_url: str, *, certificate_mode: bool = False) -> dict[str, object]:
        """Return the credentials of a channel account that points at this simulator.

        Args:
            base_url: The address of the simulator, such as "http://127.0.0.1:8090".
        """
        shared: dict[str, object] = {
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "app_private_key": self.application.key_pem,
            "base_url": base_url,
        }
        if not certificate_mode:
            return shared | {"alipay_public_keys": [self.public.public_pem]}
        return shared | {
            "app_certificate": self.application.certificate_pem,
            "alipay_certificates": [self.chain(self.platform)],
            "alipay_root_certificates": self.root.certificate_pem,
        }

    def provider_credentials(self, base_url: str, *, certificate_mode: bool = False) -> dict[str, object]:
        """Return those of a third-party application that acts for the merchant."""
        acting = {"app_id": ISV_APP_ID, "auth_app_id": APP_ID, "app_auth_token": AUTHORIZATION}
        return self.credentials(base_url, certificate_mode=certificate_mode) | acting


def certificate_of(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate_pem.encode())


def _pair(folder: Path, name: str, common_name: str, issuer: Pair | None) -> Pair:
    pem = load_or_create(
        folder / f"{name}.pem", lambda: _make(common_name, issuer, authority=name in ("root", "authority"))
    )
    # The key was created here, so its numbers need no validation, which takes long.
    key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{name}.pem does not hold an RSA key")
    certificate = x509.load_pem_x509_certificate(pem[: pem.index(_KEY_BEGIN)].encode())
    return Pair(
        key=key,
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        certificate_pem=certificate.public_bytes(Encoding.PEM).decode(),
        serial=sn(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _make(common_name: str, issuer: Pair | None, *, authority: bool) -> str:
    """Create a key and its certificate, in one PEM file so that they stay together."""
    key = rsa.generate_private_key(65537, 2048)
    organization = _MERCHANT if common_name.startswith("2088") else _ALIPAY
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Certification Authority" if authority else "Alipay"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else certificate_of(issuer).subject)
        .public_key(key.public_key())
        .serial_number(1 << 126 | secrets.randbits(126))
        .not_valid_before(_START)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key if issuer is None else issuer.key, SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (certificate.public_bytes(Encoding.PEM) + key_pem).decode()
