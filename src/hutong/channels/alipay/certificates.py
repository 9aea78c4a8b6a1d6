"""Alipay's certificates: their serial numbers as Alipay counts them, and the chain up to Alipay's root."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_RSA = "1.2.840.113549.1.1."
_KEY_BITS_MIN = 2048
_CHAIN_MAX = 4
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def certificates(pem: str) -> list[x509.Certificate]:
    """Those of a PEM file that are signed with RSA, in its order; Alipay's root file holds others besides.

    Errors:
        ValueError: there is none.
    """
    found: list[x509.Certificate] = []
    for text in _PEM.findall(pem):
        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
        except ValueError:
            continue  # one of the curves of the Chinese standards, which the library may not know
        if certificate.signature_algorithm_oid.dotted_string.startswith(_RSA):
            found.append(certificate)
    if not found:
        raise ValueError("must be certificates in PEM, signed with RSA")
    return found


def sn(certificate: x509.Certificate) -> str:
    """The serial number that Alipay's interfaces name a certificate by: MD5 over its issuer and its serial number."""
    text = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Roots:
    """Alipay's root certificates."""

    def __init__(self, pem: str) -> None:
        self.certificates = certificates(pem)
        self.sn = "_".join(sn(root) for root in self.certificates)


@dataclass(frozen=True, slots=True)
class AlipayCertificate:
    """A certificate that Alipay signs with, proven up to the root.

    Attributes:
        not_before, not_after: When the whole chain is valid.
        organization: Whom it is issued to.
    """

    sn: str
    key: rsa.RSAPublicKey
    organization: str
    not_before: datetime
    not_after: datetime

    def valid(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after

    @classmethod
    def read(cls, pem: str, roots: Roots) -> AlipayCertificate:
        """Read a certificate that is followed by those that issued it.

        Errors:
            ValueError: not a strong RSA key, or it does not chain to one of the roots.
        """
        leaf, *issuers = certificates(pem)
        chain = _chain(leaf, issuers, roots.certificates)
        key = leaf.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _KEY_BITS_MIN:
            raise ValueError("must be RSA keys of at least 2048 bits")
        names = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return cls(
            sn(leaf),
            key,
            str(names[0].value) if names else "",
            max(link.not_valid_before_utc for link in chain),
            min(link.not_valid_after_utc for link in chain),
        )


def _chain(
    leaf: x509.Certificate, issuers: list[x509.Certificate], roots: list[x509.Certificate]
) -> list[x509.Certificate]:
    """The certificate, those that issued it, and the root that they lead to.

    Errors:
        ValueError: they lead to none.
    """
    chain = [leaf]
    while len(chain) <= _CHAIN_MAX:
        issuer = next((root for root in roots if _issued(chain[-1], root)), None)
        if issuer is not None:
            return [*chain, issuer]
        issuer = next((one for one in issuers if one not in chain and _issued(chain[-1], one)), None)
        if issuer is None:
            break
        chain.append(issuer)
    raise ValueError("must chain to Alipay's root certificates")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return True
