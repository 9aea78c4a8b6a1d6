"""Who has issued a certificate: an authority that is configured may sign with SHA-1, nobody else may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hutong.channels.certificates import is_issued, may_issue
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys, signed_with_sha1

KEYS = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
START = datetime(2026, 1, 1, tzinfo=UTC)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make(subject: str, issuer: str, holder=KEYS[1], signer=KEYS[0], algorithm=None, padding=None, ca=None):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(holder.public_key())
        .serial_number(7)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(signer, algorithm or SHA256(), rsa_padding=padding)


AUTHORITY = make("authority", "authority", holder=KEYS[0], ca=True)
LEAF = make("leaf", "authority")


@pytest.mark.parametrize("algorithm", [SHA256(), SHA384(), SHA512()])
@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_sound_signature_counts_from_anybody(algorithm, is_pinned: bool) -> None:
    assert is_issued(make("leaf", "authority", algorithm=algorithm), AUTHORITY, is_pinned=is_pinned)


def test_sha1_counts_from_a_configured_authority_alone() -> None:
    old = signed_with_sha1(LEAF, KEYS[0])
    assert isinstance(old.signature_hash_algorithm, SHA1)
    assert is_issued(old, AUTHORITY, is_pinned=True)
    assert not is_issued(old, AUTHORITY, is_pinned=False)


@pytest.mark.parametrize("is_pinned", [True, False])
def test_what_another_key_or_another_name_has_signed_does_not_count(is_pinned: bool) -> None:
    for certificate in (make("leaf", "authority", signer=KEYS[1]), make("leaf", "other"), LEAF):
        changed = signed_with_sha1(certificate, KEYS[1])
        assert not is_issued(changed, AUTHORITY, is_pinned=is_pinned)
    assert not is_issued(make("leaf", "authority", signer=KEYS[1]), AUTHORITY, is_pinned=is_pinned)
    assert not is_issued(make("leaf", "other"), AUTHORITY, is_pinned=is_pinned)


def test_no_byte_of_what_was_signed_may_change() -> None:
    old = signed_with_sha1(LEAF, KEYS[0])
    whole = old.public_bytes(Encoding.DER)
    signed = whole.index(old.tbs_certificate_bytes)
    read = 0
    # Between what is signed and its signature stand the algorithm's name again, and a length.
    for position in (*range(signed, signed + len(old.tbs_certificate_bytes)), *range(len(whole) - 256, len(whole))):
        changed = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        try:
            certificate = x509.load_der_x509_certificate(changed)
            issued = is_issued(certificate, AUTHORITY, is_pinned=True)
        except (ValueError, x509.InvalidVersion):
            continue  # it is no certificate any more
        read += 1
        assert not issued
    assert read > 256


def test_other_algorithms_do_not_count() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    on_curve = make("authority", "authority", holder=curve, signer=curve, ca=True)
    assert not is_issued(make("leaf", "authority", signer=curve), on_curve, is_pinned=True)
    assert not is_issued(LEAF, on_curve, is_pinned=True)
    probabilistic = make("leaf", "authority", padding=PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH))
    assert not is_issued(probabilistic, AUTHORITY, is_pinned=True)


def test_an_authority_says_so() -> None:
    assert may_issue(AUTHORITY)
    assert not may_issue(LEAF)
    assert not may_issue(make("leaf", "authority", ca=False))


def test_the_simulated_authority_signs_as_the_real_one(tmp_path) -> None:
    keys = UnionPaySandboxKeys.load(tmp_path)
    chain = [keys.signer, keys.middle, keys.root]
    assert all(isinstance(each.certificate.signature_hash_algorithm, SHA1) for each in (*chain, keys.merchant))
    for issued, issuer in zip(chain, [*chain[1:], keys.root], strict=True):
        assert is_issued(issued.certificate, issuer.certificate, is_pinned=True)
