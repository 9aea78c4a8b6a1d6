"""The adapter of UnionPay."""

from hutong.channels.unionpay.adapter import UnionPay

__all__ = ["UnionPay"]
