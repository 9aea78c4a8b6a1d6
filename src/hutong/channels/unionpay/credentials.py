"""UnionPay online gateway 5.1.0: the credentials of an account, and its two cryptographic duties.

Requests are signed with the merchant's certificate. Answers and notifications carry the certificate they are signed
with; it counts only if UnionPay's certification authority issued it to UnionPay. The algorithm is fixed here and never
taken from a message.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from hutong.channels.address import after_scheme
from hutong.channels.certificates import is_issued, may_issue
from hutong.channels.errors import NotAuthentic
from hutong.channels.http import decode_base64

VERSION = "5.1.0"
SIGN_METHOD = "01"
"""RSA with SHA-256 and certificates."""

_KEY_BITS_MIN = 2048
_PEM_START = "-----BEGIN CERTIFICATE-----"


class BillSettings(BaseModel):
    """The details of the bill's format that UnionPay's public descriptions leave open.

    Attributes:
        cut_hour: The hour in Beijing at which a clearing day ends.
        encoding: The encoding of the file's texts; fields are cut by bytes.
        debit, credit: The letters before an amount taken from the merchant, and before one given to the merchant.
        kinds: The subject of a row, by its transaction type.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cut_hour: Annotated[int, Field(ge=1, le=24)] = 23
    encoding: Literal["gbk", "gb18030", "utf-8"] = "gbk"
    debit: Annotated[str, Field(pattern="^[A-Z]$")] = "D"
    credit: Annotated[str, Field(pattern="^[A-Z]$")] = "C"
    kinds: dict[str, Literal["payment", "refund", "other"]] = {
        "01": "payment",
        "11": "payment",
        "03": "payment",
        "04": "refund",
        "31": "refund",
        "33": "refund",
    }


class UnionPayCredentials(BaseModel):
    """One merchant account at UnionPay's online gateway.

    Attributes:
        mer_id: The merchant number, 15 characters.
        merchant_pfx, merchant_pfx_password: The signing certificate with its key as UnionPay's portal gives it, in
            base64, and its password.
        merchant_private_key, merchant_certificate: The same two in PEM, in place of the file.
        root_certificates, middle_certificates: UnionPay's certification authority, PEM, one or more after another.
        signer_name: The owner that UnionPay's certificates name.
        term_id: The terminal number, for payments with the payer's code.
        base_url: The address of the gateway.
        file_url: The address of the bills.
        bill: The format of the bills.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mer_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{15}$")]
    merchant_pfx: SecretStr | None = None
    merchant_pfx_password: SecretStr | None = None
    merchant_private_key: SecretStr | None = None
    merchant_certificate: str | None = None
    root_certificates: str
    middle_certificates: str
    signer_name: Annotated[str, Field(min_length=1, max_length=64)] = "中国银联股份有限公司"
    term_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{8}$")] | None = None
    base_url: str = "https://gateway.95516.com"
    file_url: str = "https://filedownload.95516.com/"
    bill: BillSettings = BillSettings()

    @field_validator("root_certificates", "middle_certificates")
    @classmethod
    def _are_certificates(cls, value: str) -> str:
        read_certificates(value)
        return value

    @field_validator("base_url")
    @classmethod
    def _is_base_url(cls, value: str, info: ValidationInfo) -> str:
        rest = _checked_scheme(value, info)
        if "/" in rest:
            raise ValueError("must be a scheme and a host, without a path")
        return value

    @field_validator("file_url")
    @classmethod
    def _is_file_url(cls, value: str, info: ValidationInfo) -> str:
        _checked_scheme(value, info)
        return value

    @model_validator(mode="after")
    def _has_one_key(self, info: ValidationInfo) -> UnionPayCredentials:
        merchant_pair(self, checked=bool((info.context or {}).get("stored")))
        return self


def _checked_scheme(value: str, info: ValidationInfo) -> str:
    rest = after_scheme(value, info)
    if not rest or any(character in rest for character in "?#@ ") or not rest.isascii():
        raise ValueError("must be an address without a query")
    return rest


def read_certificates(pem: str) -> list[x509.Certificate]:
    """Read one or more certificates in PEM.

    Errors:
        ValueError: not PEM, or none in it.
    """
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, x509.InvalidVersion):
        raise ValueError("must be certificates in PEM") from None


def merchant_pair(
    credentials: UnionPayCredentials, *, checked: bool = False
) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """Return the merchant's key and its certificate, from either of the two forms.

    Args:
        checked: The pair was read before, so the slow proof that its numbers fit is skipped.

    Errors:
        ValueError: neither form, both, a wrong password, a weak key, or a key of another certificate.
    """
    pem_form = credentials.merchant_private_key is not None and credentials.merchant_certificate is not None
    if (credentials.merchant_pfx is not None) == pem_form:
        raise ValueError("needs either merchant_pfx or merchant_private_key with merchant_certificate")
    key, certificate = _from_pfx(credentials) if not pem_form else _from_pem(credentials, checked)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _KEY_BITS_MIN:
        raise ValueError("the merchant's key must be an RSA key of at least 2048 bits")
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey) or public.public_numbers() != key.public_key().public_numbers():
        raise ValueError("the merchant's certificate is not that of the merchant's key")
    return key, certificate


def _from_pem(credentials: UnionPayCredentials, checked: bool) -> tuple[object, x509.Certificate]:
    assert credentials.merchant_private_key is not None
    assert credentials.merchant_certificate is not None
    try:
        pem = credentials.merchant_private_key.get_secret_value().encode()
        key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError):
        raise ValueError("merchant_private_key must be an unencrypted private key in PEM") from None
    return key, read_certificates(credentials.merchant_certificate)[0]


def _from_pfx(credentials: UnionPayCredentials) -> tuple[object, x509.Certificate]:
    assert credentials.merchant_pfx is not None
    password = credentials.merchant_pfx_password
    try:
        packed = base64.b64decode(credentials.merchant_pfx.get_secret_value(), validate=True)
        content = load_pkcs12(packed, password.get_secret_value().encode() if password is not None else None)
    except (ValueError, TypeError):
        raise ValueError("merchant_pfx must be a PKCS#12 file in base64, with its password") from None
    if content.key is None or content.cert is None:
        raise ValueError("merchant_pfx must hold a key and its certificate")
    return content.key, content.cert.certificate


@dataclass(frozen=True, slots=True)
class _Authority:
    roots: Sequence[x509.Certificate]
    middles: Sequence[x509.Certificate]

    def vouches(self, certificate: x509.Certificate, now: datetime) -> bool:
        """Return whether a valid middle certificate, itself issued by a valid root, has issued this one."""
        return any(
            is_issued(certificate, middle, is_pinned=True)
            and any(is_issued(middle, root, is_pinned=True) and _valid(root, now) for root in self.roots)
            for middle in self.middles
            if _valid(middle, now) and may_issue(middle)
        )


class UnionPayKeys:
    """An account's keys, parsed once."""

    def __init__(self, credentials: UnionPayCredentials) -> None:
        self._private, self.certificate = merchant_pair(credentials, checked=True)
        self.cert_id = str(self.certificate.serial_number)
        self._signer_name = credentials.signer_name
        self._authority = _Authority(
            read_certificates(credentials.root_certificates), read_certificates(credentials.middle_certificates)
        )

    def sign(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the fields with version, method, certificate number and signature."""
        signed: dict[str, str] = {
            "version": VERSION,
            "encoding": "UTF-8",
            "signMethod": SIGN_METHOD,
            "certId": self.cert_id,
            **fields,
        }
        signature = self._private.sign(_digest(signed), PKCS1v15(), SHA256())
        return signed | {"signature": base64.b64encode(signature).decode()}

    def verify(self, fields: Mapping[str, str], *, now: datetime) -> None:
        """Verify that the message is UnionPay's.

        Errors:
            NotAuthentic: unsigned, of another method, signed by a party that UnionPay's authority does not name, with
                a certificate that is not valid now, or wrongly signed.
        """
        signature, pem = fields.get("signature"), fields.get("signPubKeyCert")
        if not signature or not pem or fields.get("signMethod") != SIGN_METHOD or fields.get("version") != VERSION:
            raise NotAuthentic("unsigned")
        try:
            public = self._signer(pem, now)
        except NotAuthentic:
            raise
        except Exception:  # noqa: BLE001 - a stranger's certificate may be broken in unforeseeable ways
            raise NotAuthentic("unknown_key") from None
        try:
            public.verify(decode_base64(signature), _digest(fields), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise NotAuthentic("bad_signature") from None

    def _signer(self, pem: str, now: datetime) -> rsa.RSAPublicKey:
        """Return the key of UnionPay's certificate, which the message carries."""
        if pem.count(_PEM_START) != 1 or not pem.startswith(_PEM_START):
            raise NotAuthentic("unknown_key")
        certificate = x509.load_pem_x509_certificate(pem.encode())
        if not self._authority.vouches(certificate, now) or not self._is_unionpay(certificate):
            raise NotAuthentic("unknown_key")
        if not _valid(certificate, now):
            raise NotAuthentic("stale")
        public = certificate.public_key()
        if not isinstance(public, rsa.RSAPublicKey) or public.key_size < _KEY_BITS_MIN:
            raise NotAuthentic("unknown_key")
        return public

    def _is_unionpay(self, certificate: x509.Certificate) -> bool:
        """Return whether UnionPay owns the certificate, whose subject reads "041@…@owner@…"."""
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        parts = str(names[0].value).split("@") if len(names) == 1 else []
        return len(parts) > 2 and parts[2] == self._signer_name


def _valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _digest(fields: Mapping[str, str]) -> bytes:
    """Return the signed text: the hexadecimal SHA-256 of all fields but the signature, in the order of their names."""
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature")
    return hashlib.sha256(text.encode()).hexdigest().encode()
