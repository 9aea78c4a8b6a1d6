"""Refusals that depend on the state of a merchant."""

from hutong.errors import Unauthorized


class MerchantDisabled(Unauthorized):
    """A merchant that takes no new payments; the key is genuine."""

    code = "merchant_disabled"
    http_status = 403


class KeyExpired(Unauthorized):
    """A genuine key whose time is over."""

    code = "api_key_expired"


class ScopeMissing(Unauthorized):
    """A genuine key that may not be used for this."""

    code = "scope_missing"
    http_status = 403
