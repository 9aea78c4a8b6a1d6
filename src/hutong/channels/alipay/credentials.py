"""Alipay open platform: the credentials of an account, signing and verifying, RSA2 (SHA256withRSA) only.

Two modes, which may be in force side by side during a change: public keys, or certificates. In certificate mode every
answer names the certificate it is signed with; an unknown one can be fetched from Alipay, if it chains to Alipay's root
and is issued to the same organization as a certificate that the merchant has configured.

Source:
    https://opendocs.alipay.com/common/057k53 (signing), https://opendocs.alipay.com/common/056zub (certificates),
    https://github.com/alipay/alipay-sdk-java-all (AntCertificationUtil: serial numbers of certificates).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from hutong.channels.address import base_url
from hutong.channels.certificates import is_issued, may_issue
from hutong.channels.errors import NotAuthentic
from hutong.channels.http import decode_base64
from hutong.channels.rsa_keys import KEY_BITS_MIN, private_key, public_key

SIGN_TYPE = "RSA2"
CHARSET = "utf-8"
"""The charset of our requests, which Alipay answers in as a rule."""
CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gbk", "gb2312": "gbk", "gb18030": "gb18030"}
"""Charsets that Alipay may name, and the codecs that read them.

It answers in GBK where it does not know the application (chloerei/alipay#80), and at times when it is unwell
(smartwalle/alipay#257); notifications come in GBK for applications that are set so (smartwalle/alipay#248).
"""
_ADOPTED_MAX = 8
_RSA = "1.2.840.113549.1.1."
_CHAIN_MAX = 4
_TEST_HOSTS = ("openapi-sandbox.dl.alipaydev.com", "openapi.alipaydev.com")
_TEST_AUTHORITY = "Ant Financial Certification Authority Class 2 R1 test"
_TOKEN = re.compile(r"[0-9A-Za-z_-]+")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


class AlipayCredentials(BaseModel):
    """One application of one merchant at Alipay.

    Attributes:
        app_id: The application.
        seller_id: The merchant's own Alipay user id; it begins with 2088.
        app_private_key: The application's private key, PEM or the bare base64 that Alipay's key tool writes.
        alipay_public_keys: Alipay's keys in public-key mode, PEM or bare base64; several during a change.
        app_certificate: For certificate mode: the application's certificate, PEM.
        alipay_certificates: Alipay's certificates in certificate mode, each PEM followed by its issuers; several
            during a change.
        alipay_root_certificates: The file of Alipay's root certificates, PEM.
        qr_product: What the contract for `alipay_qr` is for: 订单码 (QR_CODE_OFFLINE) or 当面付 (FACE_TO_FACE_PAYMENT).
        app_auth_token, auth_app_id: For a third-party application that acts for the merchant: the token by which the
            merchant has authorized it, and the merchant's own application that it was authorized for.
        mini_app_id: The mini program in which payers pay by `alipay_jsapi`, where it is not the application itself.
        base_url: The address of Alipay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    app_id: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
    seller_id: Annotated[str, Field(pattern=r"^2088[0-9]{12}$")]
    app_private_key: SecretStr
    alipay_public_keys: Annotated[list[str], Field(max_length=4)] = []
    app_certificate: str | None = None
    alipay_certificates: Annotated[list[str], Field(max_length=4)] = []
    alipay_root_certificates: str | None = None
    qr_product: Literal["QR_CODE_OFFLINE", "FACE_TO_FACE_PAYMENT"] = "QR_CODE_OFFLINE"
    app_auth_token: Annotated[SecretStr, Field(max_length=128)] | None = None
    auth_app_id: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")] | None = None
    mini_app_id: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")] | None = None
    base_url: str = "https://openapi.alipay.com"

    @property
    def is_test(self) -> bool:
        """Whether the account is one of Alipay's own sandbox, whose certificates lead to no root."""
        return urlsplit(self.base_url).hostname in _TEST_HOSTS

    @property
    def merchant_app_id(self) -> str:
        """The merchant's application, for which requests are made: the one that signs them, unless it acts for it."""
        return self.auth_app_id or self.app_id

    @field_validator("app_auth_token")
    @classmethod
    def _is_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("must be a token that Alipay has given, of letters, digits, _ and -")
        return value

    @field_validator("app_private_key")
    @classmethod
    def _is_private_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        private_key(value.get_secret_value(), checked=bool((info.context or {}).get("stored")), bare=True)
        return value

    @field_validator("alipay_public_keys")
    @classmethod
    def _are_public_keys(cls, value: list[str]) -> list[str]:
        for text in value:
            public_key(text)
        return value

    @field_validator("app_certificate", "alipay_root_certificates")
    @classmethod
    def _are_certificates(cls, value: str | None) -> str | None:
        if value is not None:
            certificates(value)
        return value

    @field_validator("base_url")
    @classmethod
    def _is_base_url(cls, value: str, info: ValidationInfo) -> str:
        return base_url(value, info)

    @model_validator(mode="after")
    def _fits_together(self) -> AlipayCredentials:
        if (self.app_auth_token is None) != (self.auth_app_id is None):
            raise ValueError("an application that acts for a merchant needs both app_auth_token and auth_app_id")
        own = private_key(self.app_private_key.get_secret_value(), checked=True, bare=True)
        application = own.public_key().public_numbers()
        parts = (self.app_certificate, self.alipay_root_certificates, self.alipay_certificates)
        if any(parts) and not all(parts):
            raise ValueError("certificate mode needs app_certificate, alipay_certificates and alipay_root_certificates")
        if not any(parts) and not self.alipay_public_keys:
            raise ValueError("needs alipay_public_keys, or the certificates of certificate mode")
        if any(public_key(text).public_numbers() == application for text in self.alipay_public_keys):
            raise ValueError("alipay_public_keys holds the application's own key in place of Alipay's")
        if self.app_certificate is None or self.alipay_root_certificates is None:
            return self
        certified = certificates(self.app_certificate)[0].public_key()
        if not isinstance(certified, rsa.RSAPublicKey) or certified.public_numbers() != application:
            raise ValueError("app_certificate is not the certificate of app_private_key")
        roots = Roots(self.alipay_root_certificates)
        for pem in self.alipay_certificates:
            if AlipayCertificate.read(pem, roots, tests=self.is_test).key.public_numbers() == application:
                raise ValueError("alipay_certificates holds the application's own certificate in place of Alipay's")
        return self


class AlipayKeys:
    """An account's keys, parsed once, and the certificates that Alipay has changed to since."""

    def __init__(self, credentials: AlipayCredentials) -> None:
        self._private = private_key(credentials.app_private_key.get_secret_value(), checked=True, bare=True)
        self._public = [public_key(text) for text in credentials.alipay_public_keys]
        self._roots: Roots | None = None
        self._certificates: dict[str, AlipayCertificate] = {}
        self.adopted: dict[str, str] = {}
        """The certificates beyond the credentials, by their number, in PEM."""
        self.common: dict[str, str] = {}
        """The parameters that every request has in certificate mode: the certificates in force."""
        if credentials.app_certificate is not None and credentials.alipay_root_certificates is not None:
            self.app_certificate = certificates(credentials.app_certificate)[0]
            self._roots = Roots(credentials.alipay_root_certificates)
            for pem in credentials.alipay_certificates:
                certificate = AlipayCertificate.read(pem, self._roots, tests=credentials.is_test)
                self._certificates[certificate.sn] = certificate
            self.common = {"app_cert_sn": sn(self.app_certificate), "alipay_root_cert_sn": self._roots.sn}
        self._organizations = {certificate.organization for certificate in self._certificates.values()}

    @property
    def certificate_mode(self) -> bool:
        return self._roots is not None

    @property
    def alipay_certificates(self) -> list[AlipayCertificate]:
        return list(self._certificates.values())

    def sign(self, parameters: Mapping[str, str]) -> str:
        """Return the signature of a request or of an application's order string; no parameter is empty."""
        return base64.b64encode(self._private.sign(_sorted(parameters), PKCS1v15(), SHA256())).decode()

    def holds(self, certificate_sn: str, now: datetime) -> bool:
        """Return whether a certificate of Alipay's is held and valid."""
        return bool(self._named(certificate_sn, now))

    def adopt_certificate(self, certificate_sn: str, pem: str) -> None:
        """Adopt a certificate that Alipay has changed to.

        Errors:
            NotAuthentic: it is not the requested one, does not chain to the root, or is not issued to Alipay.
        """
        if self._roots is None:
            raise NotAuthentic("unknown_key")
        try:
            certificate = AlipayCertificate.read(pem, self._roots)
        except ValueError:
            raise NotAuthentic("unknown_key") from None
        # The same authority issues the merchants' certificates; with one of these a merchant could sign as Alipay.
        if certificate.sn != certificate_sn or certificate.organization not in self._organizations:
            raise NotAuthentic("unknown_key")
        if certificate_sn in self._certificates:
            return
        if len(self.adopted) >= _ADOPTED_MAX:
            oldest = next(iter(self.adopted))
            del self._certificates[oldest], self.adopted[oldest]
        self._certificates[certificate_sn] = certificate
        self.adopted[certificate_sn] = pem

    def verify(self, signature: object, message: bytes, certificate_sn: object, *, now: datetime) -> None:
        """Verify that an answer is Alipay's.

        Args:
            certificate_sn: The certificate that the answer names; None in public-key mode.

        Errors:
            NotAuthentic: unsigned, signed with a key that we do not hold or that is not valid now, or wrongly signed.
        """
        _verify(signature, message, self._public if certificate_sn is None else self._named(certificate_sn, now))

    def verify_parameters(self, parameters: Mapping[str, str], *, now: datetime) -> None:
        """Verify that the parameters of a notification are Alipay's.

        Alipay's notifications name no certificate: any one that we hold may have signed them, as in Alipay's own
        EasySDK (`verifyNotify`). One that does name it (`alipay_cert_sn`, smartwalle/alipay#124) may have it in what is
        signed or not; nothing else is read from that name.

        Errors:
            NotAuthentic: as `verify`; also any other algorithm, whatever the message calls it.
        """
        if parameters.get("sign_type") != SIGN_TYPE:
            raise NotAuthentic("unsigned")
        signature, codec = parameters.get("sign"), CODECS.get(parameters.get("charset", "").lower())
        if codec is None:
            raise NotAuthentic("charset")
        covered = {name: value for name, value in parameters.items() if name not in ("sign", "sign_type")}
        certificate_sn = covered.get("alipay_cert_sn")
        if certificate_sn is None:
            valid = [each.key for each in self._certificates.values() if each.is_valid(now)]
            _verify(signature, _sorted(covered, codec), [*self._public, *valid])
            return
        keys = self._named(certificate_sn, now)
        try:
            _verify(signature, _sorted(covered, codec), keys)
        except NotAuthentic as error:
            if str(error) != "bad_signature":
                raise
            del covered["alipay_cert_sn"]
            _verify(signature, _sorted(covered, codec), keys)

    def _named(self, certificate_sn: object, now: datetime) -> list[rsa.RSAPublicKey]:
        certificate = self._certificates.get(certificate_sn) if isinstance(certificate_sn, str) else None
        return [certificate.key] if certificate is not None and certificate.is_valid(now) else []


def _verify(signature: object, message: bytes, keys: Sequence[rsa.RSAPublicKey]) -> None:
    if not isinstance(signature, str) or not signature:
        raise NotAuthentic("unsigned")
    if not keys:
        raise NotAuthentic("unknown_key")
    try:
        raw = decode_base64(signature)
    except ValueError:
        raise NotAuthentic("bad_signature") from None
    for key in keys:
        try:
            key.verify(raw, message, PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return
    raise NotAuthentic("bad_signature")


def _sorted(parameters: Mapping[str, str], codec: str = CHARSET) -> bytes:
    """Return the signed text: the parameters in the order of their names, unescaped, in the message's own charset."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items())).encode(codec)


def certificates(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM file that are signed with RSA, in its order; Alipay's root file has others too.

    Errors:
        ValueError: there is none.
    """
    parsed: list[x509.Certificate] = []
    for text in _PEM.findall(pem):
        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
        except (ValueError, x509.InvalidVersion):
            continue  # it is on a curve of the Chinese standards, which the library may not know
        if certificate.signature_algorithm_oid.dotted_string.startswith(_RSA):
            parsed.append(certificate)
    if not parsed:
        raise ValueError("must be certificates in PEM, signed with RSA")
    return parsed


def sn(certificate: x509.Certificate) -> str:
    """Return the serial number that Alipay's interfaces use: MD5 over the issuer and the serial number."""
    text = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Roots:
    """Alipay's root certificates."""

    def __init__(self, pem: str) -> None:
        self.certificates = certificates(pem)
        self.sn = "_".join(sn(root) for root in self.certificates)


@dataclass(frozen=True, slots=True)
class AlipayCertificate:
    """A certificate that Alipay signs with, verified up to the root.

    Attributes:
        not_before, not_after: The period in which the whole chain is valid.
        organization: The holder of the certificate.
        is_test: One of Alipay's sandbox, which is trusted because it was configured.
    """

    sn: str
    key: rsa.RSAPublicKey
    organization: str
    not_before: datetime
    not_after: datetime
    is_test: bool = False

    def is_valid(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after

    @classmethod
    def read(cls, pem: str, roots: Roots, *, tests: bool = False) -> AlipayCertificate:
        """Read a certificate that is followed by its issuers.

        Args:
            tests: Whether one that the authority of Alipay's sandbox has issued is taken. Alipay publishes no
                certificate of this authority, and offers its real roots with it.

        Errors:
            ValueError: not a strong RSA key, or it does not chain to one of the roots.
        """
        leaf, *issuers = certificates(pem)
        is_test = _names(leaf.issuer, NameOID.COMMON_NAME) == [_TEST_AUTHORITY]
        if is_test and not tests:
            raise ValueError("are certificates of Alipay's sandbox, and base_url is not its address")
        chain = [leaf] if is_test else _chain(leaf, issuers, roots.certificates)
        key = leaf.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS_MIN:
            raise ValueError("must be RSA keys of at least 2048 bits")
        return cls(
            sn(leaf),
            key,
            next(iter(_names(leaf.subject, NameOID.ORGANIZATION_NAME)), ""),
            max(link.not_valid_before_utc for link in chain),
            min(link.not_valid_after_utc for link in chain),
            is_test,
        )


def _names(of: x509.Name, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(name.value) for name in of.get_attributes_for_oid(kind)]


def _chain(
    leaf: x509.Certificate, issuers: list[x509.Certificate], roots: list[x509.Certificate]
) -> list[x509.Certificate]:
    """Return the certificate, its issuers, and the root that they lead to.

    Errors:
        ValueError: they lead to none.
    """
    chain = [leaf]
    while len(chain) <= _CHAIN_MAX:
        issuer = next((root for root in roots if may_issue(root) and is_issued(chain[-1], root, is_pinned=True)), None)
        if issuer is not None:
            return [*chain, issuer]
        unused = (link for link in issuers if link not in chain and may_issue(link))
        issuer = next((link for link in unused if is_issued(chain[-1], link, is_pinned=False)), None)
        if issuer is None:
            break
        chain.append(issuer)
    raise ValueError("must chain to Alipay's root certificates")
