"""Key material of the UnionPay simulator and of its one merchant: a certification authority and its certificates."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from hutong.sandbox.keys import load_or_create

MER_ID = "777290058110048"
TERM_ID = "49000002"
SIGNER_NAME = "中国银联股份有限公司"
PFX_PASSWORD = "000000"  # noqa: S105 - the password that UnionPay gives to all test merchants
_START = datetime(2020, 1, 1, tzinfo=UTC)  # before any clock that a test may set
_TWENTY_YEARS = timedelta(days=7300)
_RSA_WITH_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_RSA_WITH_SHA1 = bytes.fromhex("06092a864886f70d010105")
"""Algorithms by their object identifiers, as they stand in a certificate."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A key with its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True, slots=True)
class UnionPaySandboxKeys:
    """The simulator's certificates.

    Attributes:
        root, middle: The certification authority.
        signer: Signs for UnionPay.
        stale: UnionPay's as well, but expired.
        merchant: Signs the merchant's requests.
    """

    root: Issued
    middle: Issued
    signer: Issued
    stale: Issued
    merchant: Issued

    @classmethod
    def load(cls, folder: Path) -> UnionPaySandboxKeys:
        """Load the keys from a folder that other users cannot read; create missing ones."""
        root = _load(folder, "root", None, "Hutong sandbox root")
        middle = _load(folder, "middle", root, "Hutong sandbox middle")
        return cls(
            root=root,
            middle=middle,
            signer=_load(folder, "signer", middle, f"041@Z2020-1-1@{SIGNER_NAME}@00000001"),
            stale=_load(folder, "stale", middle, f"041@Z2020-1-1@{SIGNER_NAME}@00000002", ends=timedelta(days=1)),
            merchant=_load(folder, "merchant", middle, f"041@Z2020-1-1@{MER_ID}@00000003"),
        )

    def credentials(self, url: str, *, pfx: bool = False) -> dict[str, object]:
        """Return the credentials of a channel account that points at this simulator at `url`.

        Args:
            pfx: Deliver the merchant's key as a PKCS#12 file, as UnionPay does.
        """
        if pfx:
            packed = serialize_key_and_certificates(
                b"merchant",
                self.merchant.key,
                self.merchant.certificate,
                None,
                BestAvailableEncryption(PFX_PASSWORD.encode()),
            )
            merchant: dict[str, object] = {
                "merchant_pfx": base64.b64encode(packed).decode(),
                "merchant_pfx_password": PFX_PASSWORD,
            }
        else:
            merchant = {
                "merchant_private_key": self.merchant.key_pem,
                "merchant_certificate": self.merchant.certificate_pem,
            }
        return {
            "mer_id": MER_ID,
            **merchant,
            "root_certificates": self.root.certificate_pem,
            "middle_certificates": self.middle.certificate_pem,
            "term_id": TERM_ID,
            "base_url": url,
            "file_url": f"{url}/unionpay/file/",
        }


def _load(folder: Path, name: str, issuer: Issued | None, common_name: str, ends: timedelta = _TWENTY_YEARS) -> Issued:
    def make() -> str:
        issued = _make(common_name, issuer, ends)
        return issued.key_pem + issued.certificate_pem

    pem = load_or_create(folder / f"{name}.pem", make)
    # The key was created here, so its numbers need no validation, which takes long.
    key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{name}.pem does not hold an RSA key")
    return Issued(key, x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode()))


def _make(common_name: str, issuer: Issued | None, ends: timedelta) -> Issued:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    is_authority = not common_name.startswith("041@")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(1 << 38 | secrets.randbits(38))  # twelve digits, like those of UnionPay's merchants
        .not_valid_before(_START)
        .not_valid_after(_START + ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, SHA256())
    )
    return Issued(key, signed_with_sha1(certificate, issuer.key if issuer else key))


def signed_with_sha1(certificate: x509.Certificate, issuer_key: rsa.RSAPrivateKey) -> x509.Certificate:
    """Return the certificate with its issuer's signature replaced by one as UnionPay's authorities make theirs.

    The library makes none with SHA-1. Both names of an algorithm have one length, and so have both signatures.
    """
    signed = certificate.tbs_certificate_bytes.replace(_RSA_WITH_SHA256, _RSA_WITH_SHA1)
    signature = issuer_key.sign(signed, PKCS1v15(), SHA1())  # noqa: S303 - as the real authorities do
    whole = certificate.public_bytes(Encoding.DER).replace(_RSA_WITH_SHA256, _RSA_WITH_SHA1)
    return x509.load_der_x509_certificate(whole[: -len(signature)] + signature)
