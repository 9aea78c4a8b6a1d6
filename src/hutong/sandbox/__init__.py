"""Channel simulators: real protocols, real signatures, faults on request.

Promises: every order that a simulator reports as paid is in its truth log; a request that the real channel would refuse
is refused; nothing here is ever a real payment.
"""

from hutong.sandbox.registry import accounts, provider_accounts
from hutong.sandbox.server import SandboxSettings, serve

__all__ = [
    "SandboxSettings",
    "accounts",
    "provider_accounts",
    "serve",
]
