"""The payer's device and browser, as the browser states them.

A browser may state anything, so a device decides what is offered and never what is paid.

Source:
    https://ld246.com/article/1467809777016 (what the browsers of WeChat and Alipay call themselves on phones);
    https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/Browser_detection_using_the_user_agent ("Mobi");
    https://wicg.github.io/ua-client-hints/#sec-ch-ua-mobile. UnionPay's wallet names its application,
    `com.unionpay.chsp`, and `CloudPay`, by what its own pages' scripts look for; no specification says so. WeChat for
    computers calls itself `WindowsWechat` or `MacWechat` beside `MicroMessenger`; not confirmed by a specification.
"""

from __future__ import annotations

from enum import StrEnum


class Device(StrEnum):
    """Where a payer's browser runs. A wallet's own browser opens that wallet, and often blocks the others."""

    DESKTOP = "desktop"
    """A computer or a tablet: a code on its screen is scanned with a phone."""
    PHONE = "phone"
    """A browser on a phone, from which the wallets on the same phone are opened."""
    WECHAT = "wechat"
    ALIPAY = "alipay"
    UNIONPAY = "unionpay"

    @property
    def is_wallet(self) -> bool:
        """Whether it is a wallet's own browser."""
        return self not in (Device.DESKTOP, Device.PHONE)

    @classmethod
    def of(cls, user_agent: str, mobile: str = "") -> Device:
        """Return the device of a request.

        Args:
            user_agent: The header `User-Agent`, any text at all.
            mobile: The header `Sec-CH-UA-Mobile`, if it was sent.
        """
        stated = user_agent.lower()
        if any(name in stated for name in _ON_A_COMPUTER):
            return cls.DESKTOP
        for device, names in _WALLETS.items():
            if any(name in stated for name in names):
                return device
        is_phone = mobile == "?1" or ("mobi" in stated and "ipad" not in stated)
        return cls.PHONE if is_phone else cls.DESKTOP


_ON_A_COMPUTER = ("windowswechat", "macwechat")
_WALLETS = {
    Device.WECHAT: ("micromessenger",),
    Device.ALIPAY: ("alipayclient",),
    Device.UNIONPAY: ("com.unionpay.", "cloudpay"),
}
