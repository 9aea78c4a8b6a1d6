"""Refusals that depend on the state of a merchant."""

from hutong.errors import Unauthorized


class MerchantDisabled(Unauthorized):
    """A merchant that takes no new payments; the key is genuine."""

    code = "merchant_disabled"
    http_status = 403
