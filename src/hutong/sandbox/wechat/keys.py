"""Key material of the WeChat Pay simulator and of its one merchant."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from hutong.sandbox.keys import Pair, load_or_create, pair

MCHID = "1900000109"
APPID = "wxd678efh567hg6787"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000001092024101500000000000001"


@dataclass(frozen=True, slots=True)
class WeChatSandboxKeys:
    """Key material of the WeChat Pay simulator and of its one merchant.

    Attributes:
        merchant, merchant_next: Sign the merchant's requests; both are valid, as during a change of certificates.
        platform: Signs for WeChat in certificate mode.
        platform_next: Signs after a rotation; before that, WeChat only lists it.
        public: Signs for WeChat in public-key mode, under the id `PUBLIC_KEY_ID`.
        api_v3_key: 32 characters.
    """

    merchant: Pair
    merchant_next: Pair
    platform: Pair
    platform_next: Pair
    public: Pair
    api_v3_key: str

    @classmethod
    def load(cls, folder: Path) -> WeChatSandboxKeys:
        """Load the keys from a folder that other users cannot read; create missing ones."""
        return cls(
            merchant=pair(folder, "merchant"),
            merchant_next=pair(folder, "merchant_next"),
            platform=pair(folder, "platform"),
            platform_next=pair(folder, "platform_next"),
            public=pair(folder, "public"),
            api_v3_key=load_or_create(folder / "api_v3_key", lambda: secrets.token_hex(16)),
        )

    def credentials(self, base_url: str, *, public_key_mode: bool = True) -> dict[str, object]:
        """Return the credentials of a channel account that points at this simulator.

        Args:
            base_url: The address of the simulator, such as "http://127.0.0.1:8090".
            public_key_mode: Sign answers with the public key, as WeChat does for new merchants; otherwise with the
                platform certificate. The account knows both.
        """
        platform_keys = {self.platform.serial: self.platform.certificate_pem}
        if public_key_mode:
            platform_keys = {PUBLIC_KEY_ID: self.public.public_pem} | platform_keys
        return {
            "mchid": MCHID,
            "appid": APPID,
            "merchant_serial": self.merchant.serial,
            "merchant_private_key": self.merchant.key_pem,
            "api_v3_key": self.api_v3_key,
            "platform_keys": platform_keys,
            "transfer_scene": {"id": "1000", "report": {"活动名称": "新会员有礼", "奖励说明": "注册会员抽奖一等奖"}},
            "base_url": base_url,
        }
