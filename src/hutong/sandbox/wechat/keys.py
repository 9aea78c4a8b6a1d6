"""Key material of the WeChat Pay simulator, of its merchant, and of its service provider."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from hutong.sandbox.keys import Pair, load_or_create, pair

MCHID = "1900000109"
APPID = "wxd678efh567hg6787"
MINI_PROGRAM_APPID = "wxd678efh567hg6788"
"""A second app of the merchant."""
SP_MCHID = "1900000100"
SP_APPID = "wx8888888888888888"
SUB_MCHID = "1900000118"
SUB_APPID = "wxd678efh567hg6999"
"""A service provider, and the merchant under it."""
OPENIDS = {
    APPID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    MINI_PROGRAM_APPID: "oMini5sEYqVz0qVUDo0bqX6Y9wXk",
    SP_APPID: "oProv8uMuAJO_M2pxb1Q9zNjWeS6",
    SUB_APPID: "oSubM8uMuAJO_M2pxb1Q9zNjWeS6",
}
"""The one payer, as each app knows them."""
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000001092024101500000000000001"


@dataclass(frozen=True, slots=True)
class WeChatSandboxKeys:
    """Key material of the WeChat Pay simulator, of its merchant, and of its service provider.

    Attributes:
        merchant, merchant_next: Sign the merchant's requests; both are valid, as during a change of certificates.
        provider: Signs the service provider's requests.
        platform: Signs for WeChat in certificate mode.
        platform_next: Signs after a rotation; before that, WeChat only lists it.
        public: Signs for WeChat in public-key mode, under the id `PUBLIC_KEY_ID`.
        api_v3_key, provider_api_v3_key: Of the merchant and of the service provider, 32 characters each.
    """

    merchant: Pair
    merchant_next: Pair
    provider: Pair
    platform: Pair
    platform_next: Pair
    public: Pair
    api_v3_key: str
    provider_api_v3_key: str

    @classmethod
    def load(cls, folder: Path) -> WeChatSandboxKeys:
        """Load the keys from a folder that other users cannot read; create missing ones."""
        return cls(
            merchant=pair(folder, "merchant"),
            merchant_next=pair(folder, "merchant_next"),
            provider=pair(folder, "provider"),
            platform=pair(folder, "platform"),
            platform_next=pair(folder, "platform_next"),
            public=pair(folder, "public"),
            api_v3_key=load_or_create(folder / "api_v3_key", lambda: secrets.token_hex(16)),
            provider_api_v3_key=load_or_create(folder / "provider_api_v3_key", lambda: secrets.token_hex(16)),
        )

    def credentials(self, base_url: str, *, public_key_mode: bool = True) -> dict[str, object]:
        """Return the credentials of a channel account that points at this simulator.

        Args:
            base_url: The address of the simulator, such as "http://127.0.0.1:8090".
            public_key_mode: Sign answers with the public key, as WeChat does for new merchants; otherwise with the
                platform certificate. The account knows both.
        """
        return {
            "mchid": MCHID,
            "appid": APPID,
            "merchant_serial": self.merchant.serial,
            "merchant_private_key": self.merchant.key_pem,
            "api_v3_key": self.api_v3_key,
            "platform_keys": self._platform_keys(public_key_mode=public_key_mode),
            "transfer_scene": {"id": "1000", "report": {"活动名称": "新会员有礼", "奖励说明": "注册会员抽奖一等奖"}},
            **_identity(APPID, base_url),
            "base_url": base_url,
        }

    def provider_credentials(self, base_url: str, *, public_key_mode: bool = True) -> dict[str, object]:
        """Return the credentials of an account for which a service provider calls."""
        return {
            "sp_mchid": SP_MCHID,
            "sp_appid": SP_APPID,
            "sub_mchid": SUB_MCHID,
            "sub_appid": SUB_APPID,
            "merchant_serial": self.provider.serial,
            "merchant_private_key": self.provider.key_pem,
            "api_v3_key": self.provider_api_v3_key,
            "platform_keys": self._platform_keys(public_key_mode=public_key_mode),
            **_identity(SUB_APPID, base_url),
            "base_url": base_url,
        }

    def _platform_keys(self, *, public_key_mode: bool) -> dict[str, str]:
        platform_keys = {self.platform.serial: self.platform.certificate_pem}
        return {PUBLIC_KEY_ID: self.public.public_pem} | platform_keys if public_key_mode else platform_keys


def app_secret(app: str) -> str:
    """Return the secret (AppSecret) of an app."""
    return hashlib.sha256(f"secret of {app}".encode()).hexdigest()[:32]


def _identity(app: str, url: str) -> dict[str, object]:
    """Return the credentials by which the cashier finds out the payer's openid in an app."""
    return {"app_secrets": {app: app_secret(app)}, "open_url": url, "app_url": url}
