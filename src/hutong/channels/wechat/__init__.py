"""The adapter of WeChat Pay."""

from hutong.channels.wechat.adapter import WeChatPay

__all__ = ["WeChatPay"]
