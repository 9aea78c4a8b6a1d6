"""X.509 certificates as channels issue them: who has issued one, with which algorithm.

Sources:
    UnionPay's authorities (CFCA OCA1 and its test authority) sign with sha1WithRSAEncryption, in messages of 2024 as
    well; the certificates stand in the signed messages of public test suites (yansongda/pay, `UnipayTest.php`).
    Alipay's own chain is signed with SHA-256; the second root in its file with SHA-1.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import SignatureAlgorithmOID as Oid

_SOUND = frozenset({Oid.RSA_WITH_SHA256, Oid.RSA_WITH_SHA384, Oid.RSA_WITH_SHA512})


def is_issued(certificate: x509.Certificate, issuer: x509.Certificate, *, is_pinned: bool) -> bool:
    """Return whether one certificate has issued another: by their names, and by the signature over its own bytes.

    Only RSA with PKCS#1 v1.5 is known; any other signature counts as not issued. `may_issue` says whether the issuer
    has the right to.

    Args:
        is_pinned: The issuer is configured as an authority. It may have signed with SHA-1: nobody else can make it sign
            a certificate that has the digest of another one. An issuer that a message brings along may not.

    Errors:
        ValueError: the names or the signature cannot be read.
    """
    algorithm = certificate.signature_algorithm_oid
    if algorithm not in _SOUND and not (is_pinned and algorithm == Oid.RSA_WITH_SHA1):
        return False
    key, digest = issuer.public_key(), certificate.signature_hash_algorithm
    if not isinstance(key, rsa.RSAPublicKey) or digest is None:
        return False
    if certificate.issuer != issuer.subject:
        return False
    try:
        # Not `verify_directly_issued_by`, which refuses SHA-1 with the same error as a signature of somebody else.
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, PKCS1v15(), digest)
    except InvalidSignature:
        return False
    return True


def may_issue(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is that of an authority."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
