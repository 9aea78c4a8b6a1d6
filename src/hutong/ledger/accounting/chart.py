"""The chart of accounts, as data: which subjects there are, whose accounts hang on them, what those refuse."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from hutong import money
from hutong.errors import InvalidParameter
from hutong.ledger.model import AccountFlags


class Class(enum.Enum):
    """The classes of subjects."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"


class Side(enum.Enum):
    """The side on which a subject normally stands."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the chart.

    Attributes:
        code: Four digits; a leaf has accounts, a parent (its code with zeros at the end) has subjects.
        per: Whose accounts these are.
        flags: What accounts of this subject refuse.
    """

    code: int
    name_en: str
    name_zh: str
    klass: Class
    per: str
    flags: AccountFlags = AccountFlags.HISTORY

    @property
    def normal_side(self) -> Side:
        """Assets and expenses stand on the debit side, liabilities and income on the credit side."""
        return Side.DEBIT if self.klass in (Class.ASSET, Class.EXPENSE) else Side.CREDIT

    @property
    def parent(self) -> int:
        """The code of the group it belongs to: 1101 to 1100, 1100 to 1000."""
        return self.code // 100 * 100 if self.code % 100 else self.code // 1000 * 1000


_COVERED = AccountFlags.HISTORY | AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS

CHART: dict[int, Subject] = {
    entry.code: entry
    for entry in (
        Subject(1001, "bank deposits (client reserve)", "备付金银行存款", Class.ASSET, "bank account"),
        Subject(1002, "own funds", "自有资金", Class.ASSET, "bank account"),
        Subject(1101, "channel receivable", "应收渠道款", Class.ASSET, "channel account"),
        Subject(2001, "merchant pending settlement", "商户待结算款", Class.LIABILITY, "merchant", _COVERED),
        Subject(2002, "merchant available", "商户可用余额", Class.LIABILITY, "merchant", _COVERED),
        Subject(2003, "merchant payout funds", "商户付款账户", Class.LIABILITY, "merchant", _COVERED),
        Subject(2101, "user balance", "用户余额", Class.LIABILITY, "user", _COVERED),
        Subject(2201, "refund in transit", "在途退款", Class.LIABILITY, "channel account", _COVERED),
        Subject(2202, "surplus to refund", "多收待退款", Class.LIABILITY, "channel account", _COVERED),
        Subject(2203, "payout in transit", "在途付款", Class.LIABILITY, "channel account", _COVERED),
        Subject(2301, "suspense, long and short", "待查长短款", Class.LIABILITY, "channel account"),
        Subject(4001, "fee income", "手续费收入", Class.INCOME, "product"),
        Subject(5001, "channel cost", "渠道成本", Class.EXPENSE, "channel account"),
        Subject(5002, "marketing cost", "营销费用", Class.EXPENSE, "campaign"),
    )
}
"""The subjects that have accounts, by code."""


def subject(code: int) -> Subject:
    """Look a subject up.

    Errors:
        InvalidParameter: the chart has no such code; `param` is "code".
    """
    found = CHART.get(code)
    if found is None:
        raise InvalidParameter("the chart of accounts has no such code", param="code")
    return found


@lru_cache(maxsize=65_536)
def account_id(code: int, owner: UUID, currency: str) -> int:
    """The id of the account of this subject, owner and currency: the same at any time, with no lookup.

    Its first four hexadecimal digits hold the code, the next four the currency's numeric code.
    """
    numeric = money.currency(currency).numeric
    subject(code)
    digest = hashlib.blake2b(f"{code}:{owner}:{currency}".encode(), digest_size=12, person=b"hutong-account").digest()
    return code << 112 | numeric << 96 | int.from_bytes(digest, "big")
