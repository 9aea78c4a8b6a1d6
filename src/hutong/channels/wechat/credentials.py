"""WeChat Pay API v3: the credentials of an account, and its four cryptographic duties.

Requests are signed with the merchant's key; answers and notifications are verified with the platform key that their
serial names; what notifications carry is decrypted with the API v3 key; a payee's name is encrypted with a platform
key. Algorithms are fixed here and never taken from a message.

Source:
    https://pay.weixin.qq.com/wiki/doc/api_external/en/wechatpay/wechatpay4_1.shtml (verifying),
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter3_2_5.shtml (decrypting),
    https://pay.weixin.qq.com/docs/partner/development/interface-rules/sensitive-data-encryption.html (encrypting).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from hutong.channels.address import base_url
from hutong.channels.errors import NotAuthentic
from hutong.channels.http import decode_base64
from hutong.channels.rsa_keys import KEY_BITS_MIN, private_key

_FIRST_HOST, _SECOND_HOST = "https://api.mch.weixin.qq.com", "https://api2.wechatpay.cn"
"""The second one is for the case that the first cannot be reached, such as a failure of its site or of its name.

Source: https://github.com/wechatpay-apiv3/wechatpay-java (README, 双域名容灾).
"""
SCHEME = "WECHATPAY2-SHA256-RSA2048"
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"
_WINDOW = timedelta(seconds=300)
_APPID = r"^[A-Za-z0-9_-]{1,32}$"
_Mchid = Annotated[str, Field(pattern=r"^[0-9]{0,32}$", validate_default=True)]
_Appid = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,32}$", validate_default=True)]
_AppMethod = Literal["wechat_native", "wechat_jsapi", "wechat_h5", "wechat_app", "wechat_code", "wechat_balance"]


class TransferScene(BaseModel):
    """The purpose for which WeChat has approved transfers, and the report that it requires with each.

    Attributes:
        id: The scene's number.
        report: The texts to report, by the kind that the scene requires.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[0-9]{1,16}$")]
    report: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=15)],
            Annotated[str, Field(min_length=1, max_length=32)],
        ],
        Field(max_length=10),
    ]


class WeChatCredentials(BaseModel):
    """One merchant account at WeChat Pay.

    Either `mchid` and `appid`, or for a merchant under a service provider `sp_mchid`, `sp_appid` and `sub_mchid`.

    Attributes:
        mchid, appid: The merchant and the app that the payments belong to.
        sp_mchid, sp_appid: The service provider (服务商) that calls for the merchant, and its app.
        sub_mchid: The merchant under the service provider.
        sub_appid: The merchant's own app; without it payers pay in the service provider's.
        appids: Further apps of the merchant: by method those that it is paid in, the first unless a payment names
            another.
        merchant_serial: Serial number of the caller's certificate, in hexadecimal.
        merchant_private_key: The key of that certificate, PEM.
        api_v3_key: 32 characters, set by the merchant at WeChat.
        platform_keys: The keys that WeChat signs with: a certificate's serial, or `PUB_KEY_ID_…`, to PEM. Several
            during a rotation; the first public key, if there is one, is requested for WeChat's signatures.
        transfer_scene: The purpose of transfers; without it there are none.
        funds_account: AVAILABLE takes refunds from the available balance; WeChat's default is what is not settled yet.
        app_secrets: The secrets (AppSecret) of apps by their id. With that of the app of `wechat_jsapi`, the cashier
            finds out the openid of a payer in WeChat's browser.
        open_url, app_url: The addresses of WeChat for that: where the browser goes, and where the openid is fetched.
        base_url: The address of WeChat Pay.
        backup_url: Where requests go that could not be sent there; by default WeChat Pay's second host, if `base_url`
            is the default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sp_mchid: _Mchid = ""
    sp_appid: _Appid = ""
    sub_mchid: _Mchid = ""
    sub_appid: _Appid = ""
    mchid: _Mchid = ""
    appid: _Appid = ""
    appids: dict[
        _AppMethod, Annotated[list[Annotated[str, Field(pattern=_APPID)]], Field(min_length=1, max_length=8)]
    ] = {}
    merchant_serial: Annotated[str, Field(pattern=r"^[0-9A-F]{1,40}$")]
    merchant_private_key: SecretStr
    api_v3_key: SecretStr
    platform_keys: Annotated[dict[str, str], Field(min_length=1, max_length=8)]
    transfer_scene: TransferScene | None = None
    funds_account: Literal["AVAILABLE"] | None = None
    app_secrets: Annotated[dict[Annotated[str, Field(pattern=_APPID)], SecretStr], Field(max_length=8)] = {}
    open_url: str = "https://open.weixin.qq.com"
    app_url: str = "https://api.weixin.qq.com"
    base_url: str = _FIRST_HOST
    backup_url: str | None = None

    @field_validator("sp_appid", "sub_mchid", "sub_appid", "mchid", "appid")
    @classmethod
    def _names_one_merchant(cls, value: str, info: ValidationInfo) -> str:
        """Require the names of a merchant on its own, or those of a service provider and of the merchant under it."""
        provided = bool(info.data.get("sp_mchid"))
        required = provided == (info.field_name in ("sp_appid", "sub_mchid"))
        if info.field_name == "sub_appid":
            required = provided and bool(value)
        if required and not value:
            raise ValueError("is required")
        if value and not required:
            raise ValueError("is of a merchant on its own" if provided else "needs sp_mchid")
        return value

    @field_validator("merchant_private_key")
    @classmethod
    def _is_private_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        private_key(value.get_secret_value(), checked=bool((info.context or {}).get("stored")))
        return value

    @field_validator("api_v3_key")
    @classmethod
    def _is_32_bytes(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) != 32:
            raise ValueError("must be 32 bytes")
        return value

    @field_validator("platform_keys")
    @classmethod
    def _are_public_keys(cls, value: dict[str, str]) -> dict[str, str]:
        for serial, pem in value.items():
            PlatformKey.read(serial, pem)
        return value

    @field_validator("base_url", "backup_url", "open_url", "app_url")
    @classmethod
    def _is_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else base_url(value, info)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the addresses of WeChat Pay, the one to prefer first."""
        backup = self.backup_url or (_SECOND_HOST if self.base_url == _FIRST_HOST else None)
        return (self.base_url,) if backup is None else (self.base_url, backup)

    @model_validator(mode="after")
    def _fit_together(self) -> WeChatCredentials:
        if self.sub_mchid and (self.transfer_scene is not None or "wechat_balance" in self.appids):
            raise ValueError(
                "a service provider sends no transfers, so transfer_scene and appids.wechat_balance are out"
            )
        if len(self.appids.get("wechat_code", ())) > 1:
            raise ValueError("appids.wechat_code takes one app, since an order is reversed without naming its payer")
        return self

    @model_validator(mode="after")
    def _keys_differ(self) -> WeChatCredentials:
        merchant = private_key(self.merchant_private_key.get_secret_value(), checked=True).public_key().public_numbers()
        for serial, pem in self.platform_keys.items():
            if PlatformKey.read(serial, pem).key.public_numbers() == merchant:
                raise ValueError("platform_keys holds the merchant's own key in place of the platform's")
        return self


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A key that WeChat signs with, and its period of validity."""

    key: rsa.RSAPublicKey
    not_before: datetime
    not_after: datetime

    @classmethod
    def read(cls, serial: str, pem: str) -> PlatformKey:
        """Read a certificate or, for a serial that starts with PUB_KEY_ID_, a public key.

        Errors:
            ValueError: not PEM of that kind, a certificate of another serial, or not a strong RSA key.
        """
        try:
            if serial.startswith(PUBLIC_KEY_PREFIX):
                key = load_pem_public_key(pem.encode())
                start, end = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
            else:
                certificate = x509.load_pem_x509_certificate(pem.encode())
                key = certificate.public_key()
                start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
                if f"{certificate.serial_number:X}" != serial.lstrip("0"):
                    raise ValueError(serial)
        except (ValueError, TypeError, x509.InvalidVersion):
            raise ValueError(
                "each serial must name its certificate in PEM, each PUB_KEY_ID_… its public key in PEM"
            ) from None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS_MIN:
            raise ValueError("must be RSA keys of at least 2048 bits")
        return cls(key, start, end)


class WeChatKeys:
    """An account's keys, parsed once."""

    def __init__(self, credentials: WeChatCredentials) -> None:
        self._mchid = credentials.mchid or credentials.sp_mchid
        self._serial = credentials.merchant_serial
        self._private = private_key(credentials.merchant_private_key.get_secret_value(), checked=True)
        self._aead = AESGCM(credentials.api_v3_key.get_secret_value().encode())
        self._platform = {serial: PlatformKey.read(serial, pem) for serial, pem in credentials.platform_keys.items()}
        self.adopted: dict[str, str] = {}
        """The certificates beyond the credentials, by serial, in PEM."""
        public_keys = [serial for serial in self._platform if serial.startswith(PUBLIC_KEY_PREFIX)]
        self.requested_serial = public_keys[0] if public_keys else None
        """The public key that we ask WeChat to sign its answers with; None leaves WeChat to its certificates."""

    def validity(self) -> list[tuple[str, datetime, datetime]]:
        """Return serial, start and end of validity of each of WeChat's certificates that we hold."""
        return [
            (serial, key.not_before, key.not_after)
            for serial, key in self._platform.items()
            if not serial.startswith(PUBLIC_KEY_PREFIX)
        ]

    def holds(self, serial: str, now: datetime) -> bool:
        """Return whether a key of WeChat's is held and valid."""
        platform = self._platform.get(serial)
        return platform is not None and platform.not_before <= now <= platform.not_after

    def authorize(self, method: str, target: str, body: bytes, *, nonce: str, now: datetime) -> str:
        """Return the Authorization header of a request to `target` (path and query as sent)."""
        timestamp = int(now.timestamp())
        message = b"%s\n%s\n%d\n%s\n%s\n" % (method.encode(), target.encode(), timestamp, nonce.encode(), body)
        signature = self._sign(message)
        return (
            f'{SCHEME} mchid="{self._mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{self._serial}"'
        )

    def encrypt(self, text: str, *, now: datetime) -> tuple[str, str] | None:
        """Return a text encrypted for WeChat alone, and the serial of the key; None while no key of theirs is valid.

        The ciphertext differs each time. It holds at most 214 bytes under a key of 2048 bits.
        """
        valid = [serial for serial in self._platform if self.holds(serial, now)]
        serial = self.requested_serial or max(valid, key=lambda one: self._platform[one].not_before, default=None)
        if serial is None:
            return None
        padding = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303 - what WeChat decrypts
        sealed = self._platform[serial].key.encrypt(text.encode(), padding)
        return base64.b64encode(sealed).decode(), serial

    def sign_lines(self, *lines: str) -> str:
        """Return the signature over these lines, each ended by a line feed, for the payer's page or application."""
        return self._sign("".join(f"{line}\n" for line in lines).encode())

    def _sign(self, message: bytes) -> str:
        return base64.b64encode(self._private.sign(message, PKCS1v15(), SHA256())).decode()

    def verify(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
        """Verify that the message is WeChat's and at most five minutes old.

        No signature has a special treatment, also not one that starts with `WECHATPAY/SIGNTEST/`: WeChat sends these
        to test whether they are refused.

        Errors:
            NotAuthentic: unsigned, stale, signed with a key we do not hold, or wrongly signed.
        """
        timestamp, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
        signature, serial = headers.get("wechatpay-signature", ""), headers.get("wechatpay-serial", "")
        if not (timestamp and nonce and signature and serial):
            raise NotAuthentic("unsigned")
        if not (nonce.isascii() and nonce.isprintable()):
            raise NotAuthentic("bad_signature")  # a line break in it could move the border between nonce and body
        if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
            raise NotAuthentic("unsigned")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise NotAuthentic("stale")
        if abs(int(timestamp) - now.timestamp()) > _WINDOW.total_seconds():
            raise NotAuthentic("stale")
        if not self.holds(serial, now):
            raise NotAuthentic("unknown_key")
        platform = self._platform[serial]
        message = b"%s\n%s\n%s\n" % (timestamp.encode(), nonce.encode(), body)
        try:
            platform.key.verify(decode_base64(signature), message, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise NotAuthentic("bad_signature") from None

    def adopt_list(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
        """Adopt the platform certificates of WeChat's list.

        Errors:
            NotAuthentic: one is not encrypted for us, not a certificate, or the list is not signed by one of them or
                by one that we hold. None is adopted.
        """
        listed = {}
        try:
            for entry in orjson.loads(body)["data"]:
                serial, pem = entry["serial_no"], self.decrypt(entry["encrypt_certificate"]).decode()
                listed[serial] = (PlatformKey.read(serial, pem), pem)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise NotAuthentic("unreadable") from None
        previous, self._platform = self._platform, {serial: key for serial, (key, _) in listed.items()} | self._platform
        try:
            self.verify(headers, body, now=now)
        except NotAuthentic:
            self._platform = previous
            raise
        self.adopted |= {serial: pem for serial, (_, pem) in listed.items() if serial not in previous}

    def adopt(self, certificates: Mapping[str, str]) -> None:
        """Take over certificates that were verified before; one that cannot be read is left out."""
        for serial, pem in certificates.items():
            if serial not in self._platform and not serial.startswith(PUBLIC_KEY_PREFIX):
                with suppress(ValueError):
                    self._platform[serial] = PlatformKey.read(serial, pem)
                    self.adopted[serial] = pem

    def decrypt(self, resource: Mapping[str, object]) -> bytes:
        """Return the plain text of a notification's resource.

        Errors:
            NotAuthentic: not AEAD_AES_256_GCM under our API v3 key.
        """
        nonce, sealed = resource.get("nonce"), resource.get("ciphertext")
        associated = resource.get("associated_data")
        associated = "" if associated is None else associated  # null stands for what is absent, as everywhere at WeChat
        if resource.get("algorithm") != "AEAD_AES_256_GCM" or not (
            isinstance(nonce, str) and isinstance(sealed, str) and isinstance(associated, str)
        ):
            raise NotAuthentic("unreadable")
        try:
            return self._aead.decrypt(nonce.encode(), decode_base64(sealed), associated.encode())
        except (InvalidTag, ValueError):
            raise NotAuthentic("undecryptable") from None
