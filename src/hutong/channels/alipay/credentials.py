"""Alipay open platform: what an account consists of, and how it signs and verifies, RSA2 (SHA256withRSA) only.

Two modes, which may be in force side by side during a change: public keys, or certificates. In certificate mode every
answer names the certificate it is signed with; one that is not known yet can be learnt from Alipay, if it chains to
Alipay's root and is issued to the same organization as a certificate that the merchant has configured.

Source:
    https://opendocs.alipay.com/common/057k53 (signing), https://opendocs.alipay.com/common/056zub (certificates),
    https://github.com/alipay/alipay-sdk-java-all (AntCertificationUtil: serial numbers of certificates).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from hutong.channels.address import base_url
from hutong.channels.alipay.certificates import AlipayCertificate, Roots, certificates, sn

SIGN_TYPE = "RSA2"
CHARSET = "utf-8"
_KEY_BITS_MIN = 2048
_LEARNT_MAX = 8


class AlipayCredentials(BaseModel):
    """One application of one merchant at Alipay.

    Attributes:
        app_id: The application.
        seller_id: The merchant's own Alipay user id; it begins with 2088.
        app_private_key: The application's private key, PEM or the bare base64 that Alipay's key tool writes.
        alipay_public_keys: What Alipay signs with in public-key mode, PEM or bare base64; several during a change.
        app_certificate: For certificate mode: the application's certificate, PEM.
        alipay_certificates: What Alipay signs with in certificate mode, each PEM followed by those that issued it;
            several during a change.
        alipay_root_certificates: The file of Alipay's root certificates, PEM.
        base_url: Where Alipay is reached.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    app_id: Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
    seller_id: Annotated[str, Field(pattern=r"^2088[0-9]{12}$")]
    app_private_key: SecretStr
    alipay_public_keys: Annotated[list[str], Field(max_length=4)] = []
    app_certificate: str | None = None
    alipay_certificates: Annotated[list[str], Field(max_length=4)] = []
    alipay_root_certificates: str | None = None
    base_url: str = "https://openapi.alipay.com"

    @field_validator("app_private_key")
    @classmethod
    def _is_private_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        private_key(value.get_secret_value(), checked=bool((info.context or {}).get("stored")))
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
        own = private_key(self.app_private_key.get_secret_value(), checked=True).public_key().public_numbers()
        parts = (self.app_certificate, self.alipay_root_certificates, self.alipay_certificates)
        if any(parts) and not all(parts):
            raise ValueError("certificate mode needs app_certificate, alipay_certificates and alipay_root_certificates")
        if not any(parts) and not self.alipay_public_keys:
            raise ValueError("needs alipay_public_keys, or the certificates of certificate mode")
        if any(public_key(text).public_numbers() == own for text in self.alipay_public_keys):
            raise ValueError("alipay_public_keys holds the application's own key in place of Alipay's")
        if self.app_certificate is None or self.alipay_root_certificates is None:
            return self
        certified = certificates(self.app_certificate)[0].public_key()
        if not isinstance(certified, rsa.RSAPublicKey) or certified.public_numbers() != own:
            raise ValueError("app_certificate is not the certificate of app_private_key")
        roots = Roots(self.alipay_root_certificates)
        for pem in self.alipay_certificates:
            if AlipayCertificate.read(pem, roots).key.public_numbers() == own:
                raise ValueError("alipay_certificates holds the application's own certificate in place of Alipay's")
        return self


def _bare(text: str) -> bytes | None:
    """The bytes of a key in base64 without PEM's frame; None where it has one."""
    if "-----BEGIN" in text:
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("must be PEM or base64") from None


def private_key(text: str, *, checked: bool = False) -> rsa.RSAPrivateKey:
    """Read the application's key.

    Args:
        checked: The key was read before, so its numbers need not be proven to fit again, which takes long.

    Errors:
        ValueError: not an unencrypted RSA key of at least 2,048 bits.
    """
    try:
        bare = _bare(text)
        if bare is None:
            key = load_pem_private_key(text.encode(), password=None, unsafe_skip_rsa_key_validation=checked)
        else:
            key = load_der_private_key(bare, password=None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError):
        raise ValueError("must be an unencrypted private key in PEM or base64") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _KEY_BITS_MIN:
        raise ValueError("must be an RSA key of at least 2048 bits")
    return key


def public_key(text: str) -> rsa.RSAPublicKey:
    """Read a public key of Alipay's.

    Errors:
        ValueError: not an RSA key of at least 2,048 bits.
    """
    try:
        bare = _bare(text)
        key = load_pem_public_key(text.encode()) if bare is None else load_der_public_key(bare)
    except (ValueError, TypeError):
        raise ValueError("must be public keys in PEM or base64") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _KEY_BITS_MIN:
        raise ValueError("must be RSA keys of at least 2048 bits")
    return key


class Unproven(Exception):
    """A message is not proven to be Alipay's; the text is one word that says why."""


class AlipayKeys:
    """An account's keys, read once; certificates that Alipay has changed to since are learnt."""

    def __init__(self, credentials: AlipayCredentials) -> None:
        self._private = private_key(credentials.app_private_key.get_secret_value(), checked=True)
        self._public = [public_key(text) for text in credentials.alipay_public_keys]
        self._roots: Roots | None = None
        self._certificates: dict[str, AlipayCertificate] = {}
        self._learnt: list[str] = []
        self.common: dict[str, str] = {}
        """What every request names besides its own: the certificates in force, in certificate mode."""
        if credentials.app_certificate is not None and credentials.alipay_root_certificates is not None:
            self.app_certificate = certificates(credentials.app_certificate)[0]
            self._roots = Roots(credentials.alipay_root_certificates)
            for pem in credentials.alipay_certificates:
                read = AlipayCertificate.read(pem, self._roots)
                self._certificates[read.sn] = read
            self.common = {"app_cert_sn": sn(self.app_certificate), "alipay_root_cert_sn": self._roots.sn}
        self._organizations = {known.organization for known in self._certificates.values()}

    @property
    def certificate_mode(self) -> bool:
        return self._roots is not None

    @property
    def alipay_certificates(self) -> list[AlipayCertificate]:
        return list(self._certificates.values())

    def sign(self, parameters: Mapping[str, str]) -> str:
        """The signature of a request or of an application's order string; no parameter is empty."""
        return base64.b64encode(self._private.sign(_sorted(parameters), PKCS1v15(), SHA256())).decode()

    def knows(self, certificate_sn: str) -> bool:
        return certificate_sn in self._certificates

    def learn(self, certificate_sn: str, pem: str) -> None:
        """Take a certificate that Alipay has changed to.

        Errors:
            Unproven: it is another than was asked for, does not chain to the root, or is not issued to Alipay.
        """
        if self._roots is None:
            raise Unproven("unknown_key")
        try:
            read = AlipayCertificate.read(pem, self._roots)
        except ValueError:
            raise Unproven("unknown_key") from None
        # The same authority issues the merchants' certificates; with one of these a merchant could speak as Alipay.
        if read.sn != certificate_sn or read.organization not in self._organizations:
            raise Unproven("unknown_key")
        if len(self._learnt) >= _LEARNT_MAX:
            del self._certificates[self._learnt.pop(0)]
        self._certificates[read.sn] = read
        self._learnt.append(read.sn)

    def verify(self, signature: object, message: bytes, certificate_sn: object, *, now: datetime) -> None:
        """Prove that a message is Alipay's.

        Args:
            certificate_sn: The certificate that it names; None in public-key mode.

        Errors:
            Unproven: unsigned, signed with a key we do not hold or that is not valid now, or wrongly signed.
        """
        if not isinstance(signature, str) or not signature:
            raise Unproven("unsigned")
        if certificate_sn is None:
            keys = self._public
        else:
            known = self._certificates.get(certificate_sn) if isinstance(certificate_sn, str) else None
            keys = [known.key] if known is not None and known.valid(now) else []
        if not keys:
            raise Unproven("unknown_key")
        try:
            raw = _strict_base64(signature)
        except ValueError:
            raise Unproven("bad_signature") from None
        for key in keys:
            try:
                key.verify(raw, message, PKCS1v15(), SHA256())
            except InvalidSignature:
                continue
            return
        raise Unproven("bad_signature")

    def verify_parameters(self, parameters: Mapping[str, str], *, now: datetime) -> None:
        """Prove that the parameters of a notification are Alipay's.

        Errors:
            Unproven: as `verify`; also another algorithm than ours, whatever the message calls it.
        """
        if parameters.get("sign_type") != SIGN_TYPE:
            raise Unproven("unsigned")
        covered = {name: value for name, value in parameters.items() if name not in ("sign", "sign_type")}
        self.verify(parameters.get("sign"), _sorted(covered), parameters.get("alipay_cert_sn"), now=now)


def _sorted(parameters: Mapping[str, str]) -> bytes:
    """What is signed: the parameters in the order of their names, unescaped."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters.items())).encode()


def _strict_base64(text: str) -> bytes:
    """Decode; of the several spellings of the same bytes only the canonical one is taken."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(decoded).decode() != text:
        raise ValueError("not canonical base64")
    return decoded
