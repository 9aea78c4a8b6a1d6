"""The adapter of Alipay."""

from hutong.channels.alipay.adapter import Alipay

__all__ = ["Alipay"]
