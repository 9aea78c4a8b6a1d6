"""Merchants, their settings and their API keys.

Promises: an API key is shown once and kept only as a hash; a revoked key stops working everywhere within five seconds,
and a changed setting is seen within five; a key that was made past the audit journal is found; a logo is what its
content proves it to be.
"""

from hutong.merchants.directory import Directory
from hutong.merchants.keys import create_api_key, revoke_api_key, verify_keys
from hutong.merchants.merchants import (
    check_return_url,
    create_merchant,
    find_merchants,
    set_logo,
    update_merchant,
)
from hutong.merchants.model import ApiKey, Merchant, NewMerchant, Switching

__all__ = [
    "ApiKey",
    "Directory",
    "Merchant",
    "NewMerchant",
    "Switching",
    "check_return_url",
    "create_api_key",
    "create_merchant",
    "find_merchants",
    "revoke_api_key",
    "set_logo",
    "update_merchant",
    "verify_keys",
]
