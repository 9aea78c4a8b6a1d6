"""The list of simulated channels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hutong.sandbox.alipay.simulator import AlipaySimulator
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.stripe.simulator import StripeSimulator
from hutong.sandbox.unionpay.simulator import UnionPaySimulator
from hutong.sandbox.wechat.simulator import WeChatSimulator

SIMULATORS: Sequence[type[Simulator]] = (WeChatSimulator, AlipaySimulator, UnionPaySimulator, StripeSimulator)


def accounts(folder: Path, url: str) -> dict[str, dict[str, object]]:
    """Return the credentials of an account at each simulated channel, by the channel's name.

    Args:
        folder: The sandbox's folder; each channel keeps its key material in a folder of its own below it.
        url: The address of the sandbox, such as "http://127.0.0.1:8090".
    """
    return {kind.channel: kind.credentials(folder / kind.channel, url) for kind in SIMULATORS}


def provider_accounts(folder: Path, url: str) -> dict[str, dict[str, object]]:
    """Return the credentials of a merchant under a service provider, by the channels that play one."""
    made = {kind.channel: kind.provider_credentials(folder / kind.channel, url) for kind in SIMULATORS}
    return {channel: credentials for channel, credentials in made.items() if credentials is not None}
