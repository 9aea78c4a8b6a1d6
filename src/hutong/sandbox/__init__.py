"""Channel simulators: real protocols, real signatures, faults on request.

Promises: an order that the simulator says is paid stands in its truth log; what a real channel would refuse is refused;
nothing here is ever a real payment.
"""

from hutong.sandbox.app import SandboxSettings, create_app, serve
from hutong.sandbox.keys import SandboxKeys

__all__ = ["SandboxKeys", "SandboxSettings", "create_app", "serve"]
