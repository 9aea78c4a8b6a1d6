"""Models of payment methods."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from hutong.api.schemas.fields import ListObject
from hutong.api.schemas.open_names import PaymentMethod, Wallet
from hutong.channels import ActionKind, Device

LABELS = {
    "wechat": ("WeChat Pay", "微信支付"),
    "alipay": ("Alipay", "支付宝"),
    "unionpay": ("UnionPay", "云闪付"),
    "card": ("Bank card", "银行卡"),
}
"""What payers call a wallet, in English and in Chinese."""


class MethodLabels(BaseModel):
    """What payers call a method's wallet."""

    en: str
    zh: str


class MethodObject(BaseModel):
    """A payment method that can be used now."""

    object: Literal["method"]
    method: PaymentMethod = Field(description="The name for `method` in `POST /v1/payments`, such as `wechat_native`.")
    wallet: Wallet = Field(description="The brand by which payers know it; several methods may lead to one wallet.")
    labels: MethodLabels
    action: ActionKind | None = Field(
        description="The kind of the payer's next step; null where the channel decides at once or asks the payer."
    )
    requires: list[str] = Field(description="The details that `payer` must hold.")
    devices: list[Device] = Field(
        description="On which devices a page can offer it; empty where only your own application or till can."
    )


class MethodList(ListObject):
    """Payment methods, the best one of each wallet first."""

    data: list[MethodObject]
