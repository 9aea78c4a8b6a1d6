"""Merchants and their API keys.

Promises: an API key is shown once and kept only as a hash; a revoked key stops working everywhere within five seconds;
a key that was made past the audit journal is found.
"""

from hutong.merchants.directory import Directory
from hutong.merchants.keys import create_api_key, revoke_api_key, verify_keys
from hutong.merchants.merchants import check_return_url, create_merchant, find_merchants
from hutong.merchants.model import ApiKey, Merchant, NewMerchant

__all__ = [
    "ApiKey",
    "Directory",
    "Merchant",
    "NewMerchant",
    "check_return_url",
    "create_api_key",
    "create_merchant",
    "find_merchants",
    "revoke_api_key",
    "verify_keys",
]
