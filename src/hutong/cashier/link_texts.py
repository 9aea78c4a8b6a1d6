"""The texts of payment links and of their posters, by language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTexts:
    """The texts of one language."""

    title: str
    enter: str
    between: str
    """Contains {least} and {most}."""
    proceed: str
    scan_to_pay: str
    enter_in_app: str


LINK_TEXTS = {
    "en": LinkTexts(
        title="Pay",
        enter="Amount",
        between="Enter an amount from {least} to {most}.",
        proceed="Continue",
        scan_to_pay="Scan to pay",
        enter_in_app="Enter the amount, then choose how to pay.",
    ),
    "zh": LinkTexts(
        title="付款",
        enter="付款金额",
        between="请输入 {least} 至 {most} 之间的金额。",
        proceed="下一步",
        scan_to_pay="扫码付款",
        enter_in_app="输入金额，再选择支付方式。",
    ),
}
