"""The demonstration: payments end to end through the sandbox, with every invariant checked."""

from hutong.demo.drill import run_drill_routing
from hutong.demo.merchant import Client, register_merchant
from hutong.demo.platform import RunningPlatform, free_port
from hutong.demo.receiver import Receiver
from hutong.demo.run import run_demo

__all__ = [
    "Client",
    "Receiver",
    "RunningPlatform",
    "free_port",
    "register_merchant",
    "run_demo",
    "run_drill_routing",
]
