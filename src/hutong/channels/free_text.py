"""Free text for channels: subjects, reasons and remarks, without what a channel refuses or what would break its bill.

Sources:
    WeChat Pay: https://pay.weixin.qq.com/docs/merchant/development/interface-rules/basic-rules.html (characters of one
    to three bytes in UTF-8 only); its bill puts each value behind ",`" (4012791866).
    Alipay: https://opendocs.alipay.com/open/59da99d0_alipay.trade.page.pay ("/", "=" and "&" are refused in a subject).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STAND_IN = "\u25a1"
"""Stands for a character that a channel cannot take: a white square."""


@dataclass(frozen=True, slots=True)
class FreeText:
    """The free text that a channel takes in one of its fields.

    Attributes:
        length_max: In characters.
        replaced: Characters and what stands for them.
        basic_only: Characters beyond U+FFFF are not taken.
    """

    length_max: int
    replaced: Mapping[str, str] = field(default_factory=dict)
    basic_only: bool = False

    def fit(self, text: str) -> str:
        """Return the text as the channel takes it: the same for the same text, so that it can be sent again.

        Line ends and tabs become spaces; other characters that cannot be printed, and spaces around, are left out.
        """
        return "".join(map(self._fit, text)).strip()[: self.length_max].rstrip()

    def _fit(self, character: str) -> str:
        if character in self.replaced:
            return self.replaced[character]
        if character in "\t\n\r":
            return " "
        if self.basic_only and character > "\uffff":
            return STAND_IN
        return character if character == " " or character.isprintable() else ""
