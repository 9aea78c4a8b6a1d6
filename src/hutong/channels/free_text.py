"""Free text for channels: subjects, reasons and remarks, without what a channel refuses or what would break its bill.

Sources:
    WeChat Pay: https://pay.weixin.qq.com/docs/merchant/development/interface-rules/basic-rules.html (characters of one
    to three bytes in UTF-8 only); its bill puts each value behind ",`" (4012791866).
    Its lengths are bytes: https://pay.weixin.qq.com/docs/merchant/products/refund/apilist.html (a reason),
    https://developers.weixin.qq.com/community/pay/doc/000ac2f693c4e881fc38cd5795b400 (a description).
    Alipay: https://opendocs.alipay.com/open/59da99d0_alipay.trade.page.pay ("/", "=" and "&" are refused in a subject).
    In its lengths a Chinese character counts twice: https://global.alipay.com/doc/global/createandpay (a subject),
    https://developer.aliyun.com/article/711101 (a remark).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

STAND_IN = "\u25a1"
"""Stands for a character that a channel cannot take: a white square."""


@dataclass(frozen=True, slots=True)
class FreeText:
    """The free text that a channel takes in one of its fields.

    Attributes:
        length_max: In the unit: characters, bytes of UTF-8, or columns, of which all but the characters of ASCII take
            two.
        replaced: Characters and what stands for them.
        basic_only: Characters beyond U+FFFF are not taken.
    """

    length_max: int
    replaced: Mapping[str, str] = field(default_factory=dict)
    basic_only: bool = False
    unit: Literal["characters", "bytes", "columns"] = "characters"

    def fit(self, text: str) -> str:
        """Return the text as the channel takes it: the same for the same text, so that it can be sent again.

        Line ends and tabs become spaces; other characters that cannot be printed, and spaces around, are left out.
        """
        fitting, left = "".join(map(self._fit, text)).strip(), self.length_max
        for place, character in enumerate(fitting):
            left -= self._size(character)
            if left < 0:
                return fitting[:place].rstrip()
        return fitting

    def size(self, text: str) -> int:
        """Return the length of a text in the unit."""
        return sum(map(self._size, text))

    def _size(self, character: str) -> int:
        if self.unit == "bytes":
            return len(character.encode())
        return 2 if self.unit == "columns" and not character.isascii() else 1

    def _fit(self, character: str) -> str:
        if character in self.replaced:
            return self.replaced[character]
        if character in "\t\n\r":
            return " "
        if self.basic_only and character > "\uffff":
            return STAND_IN
        return character if character == " " or character.isprintable() else ""
