"""Merchants, their settings and their API keys.

Promises: an API key is shown once and kept only as a hash; a revoked key stops working everywhere within five seconds,
and a changed setting is seen within them; a key opens what its scopes name, until it expires; a key that was made past
the audit journal is found; a logo is what its content proves it to be.
"""

from hutong.merchants import payment_links

# isort: split
from hutong.merchants.directory import Directory
from hutong.merchants.keys import create_api_key, list_api_keys, revoke_api_key, verify_keys
from hutong.merchants.merchants import (
    check_return_url,
    create_merchant,
    find_logo,
    find_merchants,
    list_merchants,
    set_logo,
    update_merchant,
)
from hutong.merchants.model import ApiKey, KeyLimits, Merchant, NewMerchant, RegisteredKey, Scope, Switching
from hutong.merchants.return_address import channel_return_address, return_address

__all__ = [
    "ApiKey",
    "Directory",
    "KeyLimits",
    "Merchant",
    "NewMerchant",
    "RegisteredKey",
    "Scope",
    "Switching",
    "channel_return_address",
    "check_return_url",
    "create_api_key",
    "create_merchant",
    "find_logo",
    "find_merchants",
    "list_api_keys",
    "list_merchants",
    "payment_links",
    "return_address",
    "revoke_api_key",
    "set_logo",
    "update_merchant",
    "verify_keys",
]
