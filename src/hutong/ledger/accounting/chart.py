"""The chart of accounts as data: its subjects, who owns their accounts, and what those accounts refuse."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from hutong import money
from hutong.errors import InvalidParameter
from hutong.ledger.model import AccountFlags

BANK_DEPOSITS = 1001
OWN_FUNDS = 1002
CHANNEL_RECEIVABLE = 1101
DISPUTED_AT_CHANNEL = 1102
MERCHANT_PENDING = 2001
MERCHANT_AVAILABLE = 2002
MERCHANT_PAYOUT_FUNDS = 2003
USER_BALANCE = 2101
REFUND_IN_TRANSIT = 2201
SURPLUS_TO_REFUND = 2202
PAYOUT_IN_TRANSIT = 2203
DISPUTE_HELD = 2204
SUSPENSE = 2301
PROFIT_OF_THE_YEAR = 3101
RETAINED_EARNINGS = 3102
FEE_INCOME = 4001
RECONCILIATION_GAINS = 4002
CHANNEL_COST = 5001
MARKETING_COST = 5002
RECONCILIATION_LOSSES = 5003


class SubjectClass(enum.Enum):
    """The class of a subject."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"
    INCOME = "income"
    EXPENSE = "expense"


class NormalSide(enum.Enum):
    """The side on which a subject's balance normally stands."""

    DEBIT = "debit"
    CREDIT = "credit"


class AccountOwner(enum.Enum):
    """The kind of owner that a subject has one account for."""

    BANK_ACCOUNT = "bank account"
    CHANNEL_ACCOUNT = "channel account"
    MERCHANT = "merchant"
    USER = "user"
    PRODUCT = "product"
    CAMPAIGN = "campaign"
    COMPANY = "company"
    SENDING_ACCOUNT = "channel account that sends the money"
    """In postings only: a refund may leave by another channel account than the one that took the payment."""


PLATFORM_OWNERS: Mapping[AccountOwner, UUID] = {
    AccountOwner.BANK_ACCOUNT: UUID(int=1),
    AccountOwner.PRODUCT: UUID(int=1),
    AccountOwner.CAMPAIGN: UUID(int=1),
    AccountOwner.COMPANY: UUID(int=1),
}
"""The owners of the platform's own accounts: one of each kind until there are more."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One line of the chart.

    Attributes:
        code: Four digits; a leaf has accounts, a parent (its code with zeros at the end) has subjects.
        per: The kind of owner that has one account each.
        flags: The limits of the accounts of this subject.
    """

    code: int
    name_en: str
    name_zh: str
    klass: SubjectClass
    per: AccountOwner
    flags: AccountFlags = AccountFlags.HISTORY

    @property
    def normal_side(self) -> NormalSide:
        """Assets and expenses stand on the debit side, liabilities, equity and income on the credit side."""
        return normal_side(self.code)

    @property
    def parent(self) -> int:
        """The code of the group that the subject belongs to: 1101 to 1100, 1100 to 1000."""
        return self.code // 100 * 100 if self.code % 100 else self.code // 1000 * 1000


_C, _O = SubjectClass, AccountOwner
_COVERED = AccountFlags.HISTORY | AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS

CHART: dict[int, Subject] = {
    entry.code: entry
    for entry in (
        Subject(BANK_DEPOSITS, "bank deposits (client reserve)", "备付金银行存款", _C.ASSET, _O.BANK_ACCOUNT),
        Subject(OWN_FUNDS, "own funds", "自有资金", _C.ASSET, _O.BANK_ACCOUNT),
        Subject(CHANNEL_RECEIVABLE, "channel receivable", "应收渠道款", _C.ASSET, _O.CHANNEL_ACCOUNT),
        Subject(DISPUTED_AT_CHANNEL, "taken by the channel for disputes", "渠道争议扣款", _C.ASSET, _O.CHANNEL_ACCOUNT),
        Subject(MERCHANT_PENDING, "merchant pending settlement", "商户待结算款", _C.LIABILITY, _O.MERCHANT, _COVERED),
        Subject(MERCHANT_AVAILABLE, "merchant available", "商户可用余额", _C.LIABILITY, _O.MERCHANT, _COVERED),
        Subject(MERCHANT_PAYOUT_FUNDS, "merchant payout funds", "商户付款账户", _C.LIABILITY, _O.MERCHANT, _COVERED),
        Subject(USER_BALANCE, "user balance", "用户余额", _C.LIABILITY, _O.USER, _COVERED),
        Subject(REFUND_IN_TRANSIT, "refund in transit", "在途退款", _C.LIABILITY, _O.CHANNEL_ACCOUNT, _COVERED),
        Subject(SURPLUS_TO_REFUND, "surplus to refund", "多收待退款", _C.LIABILITY, _O.CHANNEL_ACCOUNT, _COVERED),
        Subject(PAYOUT_IN_TRANSIT, "payout in transit", "在途付款", _C.LIABILITY, _O.CHANNEL_ACCOUNT, _COVERED),
        Subject(DISPUTE_HELD, "held for disputes", "争议冻结款", _C.LIABILITY, _O.MERCHANT, _COVERED),
        Subject(SUSPENSE, "suspense, long and short", "待查长短款", _C.LIABILITY, _O.CHANNEL_ACCOUNT),
        Subject(PROFIT_OF_THE_YEAR, "profit of the year", "本年利润", _C.EQUITY, _O.COMPANY),
        Subject(RETAINED_EARNINGS, "retained earnings", "未分配利润", _C.EQUITY, _O.COMPANY),
        Subject(FEE_INCOME, "fee income", "手续费收入", _C.INCOME, _O.PRODUCT),
        Subject(RECONCILIATION_GAINS, "long money written off", "长款收益", _C.INCOME, _O.CHANNEL_ACCOUNT),
        Subject(CHANNEL_COST, "channel cost", "渠道成本", _C.EXPENSE, _O.CHANNEL_ACCOUNT),
        Subject(MARKETING_COST, "marketing cost", "营销费用", _C.EXPENSE, _O.CAMPAIGN),
        Subject(RECONCILIATION_LOSSES, "short money written off", "短款损失", _C.EXPENSE, _O.CHANNEL_ACCOUNT),
    )
}
"""The subjects that have accounts, by code."""

CLASSES = {1: _C.ASSET, 2: _C.LIABILITY, 3: _C.EQUITY, 4: _C.INCOME, 5: _C.EXPENSE}
"""The class of every subject, by the first of the four digits of its code."""

GROUPS: dict[int, tuple[str, str]] = {
    1000: ("assets", "资产"),
    1100: ("receivables", "应收款项"),
    2000: ("liabilities", "负债"),
    2100: ("balances of users", "用户款项"),
    2200: ("money in transit", "在途款项"),
    2300: ("money to be explained", "待查款项"),
    3000: ("equity", "所有者权益"),
    4000: ("income", "收入"),
    5000: ("expenses", "费用"),
}
"""The names of the groups that subjects belong to, by code."""

CLEARING = (
    CHANNEL_RECEIVABLE,
    DISPUTED_AT_CHANNEL,
    REFUND_IN_TRANSIT,
    SURPLUS_TO_REFUND,
    PAYOUT_IN_TRANSIT,
    DISPUTE_HELD,
    SUSPENSE,
)
"""Subjects whose accounts come back to zero when everything in transit has arrived."""


def subject(code: int) -> Subject:
    """Return the subject with this code.

    Errors:
        InvalidParameter: the chart has no such code; `param` is "code".
    """
    entry = CHART.get(code)
    if entry is None:
        raise InvalidParameter(f"the chart of accounts has no code {code}", param="code")
    return entry


def normal_side(code: int) -> NormalSide:
    """Return the side of a subject, also of one that was added later; other codes have the debit side."""
    klass = CLASSES.get(code // 1000)
    return NormalSide.DEBIT if klass in (None, SubjectClass.ASSET, SubjectClass.EXPENSE) else NormalSide.CREDIT


@lru_cache(maxsize=65_536)
def account_id(code: int, owner: UUID, currency: str) -> int:
    """Return the id of the account of a subject, owner and currency: always the same, without a lookup.

    Its first four hexadecimal digits hold the code, the next four the currency's numeric code.

    Errors:
        InvalidParameter: the chart of this version has no such code, or there is no such currency.
    """
    subject(code)
    return derive_account_id(code, owner, currency)


def derive_account_id(code: int, owner: UUID, currency: str) -> int:
    """Return the id as `account_id` does, also for a subject that was added to the chart later."""
    numeric = money.currency(currency).numeric
    digest = hashlib.blake2b(f"{code}:{owner}:{currency}".encode(), digest_size=12, person=b"hutong-account").digest()
    return code << 112 | numeric << 96 | int.from_bytes(digest, "big")
