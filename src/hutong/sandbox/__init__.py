"""Channel simulators: real protocols, real signatures, faults on request.

Promises: an order that a simulator says is paid stands in its truth log; what a real channel would refuse is refused;
nothing here is ever a real payment.
"""

from hutong.sandbox.alipay.keys import AlipaySandboxKeys
from hutong.sandbox.registry import accounts
from hutong.sandbox.server import SandboxSettings, create_app, serve
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from hutong.sandbox.wechat.keys import WeChatSandboxKeys

__all__ = [
    "AlipaySandboxKeys",
    "SandboxSettings",
    "StripeSandboxKeys",
    "UnionPaySandboxKeys",
    "WeChatSandboxKeys",
    "accounts",
    "create_app",
    "serve",
]
