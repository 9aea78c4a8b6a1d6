"""The bank statements of an invented business: what channels have settled, with differences planted in it.

Source:
    ISO 20022 camt.053.001.08, bank to customer statement: https://www.iso20022.org/iso-20022-message-definitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

from hutong.money import to_major
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.generate.model import AccountPlan, GeneratedFile

BANK_ACCOUNTS: Mapping[str, tuple[str, str]] = {
    "CNY": ("bka_01cny0000000000000000000000", "6222020000000000001"),
    "USD": ("bka_01vsd0000000000000000000000", "6222020000000000002"),
}
"""By currency: the public id of the account and its number."""
LAYOUT = "camt"
_OPENING_MINOR = 100_000_000
_SHORT_MINOR = 137
_UNEXPECTED_MINOR = 8_801
_TWIN_MINOR = 1_001
_CYCLE = 3


@dataclass(frozen=True, slots=True)
class BankAnswer:
    """A difference between settlement batches and a statement."""

    account: str
    side: str
    key: str
    klass: str
    column: str
    day: date
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class _Entry:
    amount: int
    text: str


def write_statements(
    out: Path, plans: tuple[AccountPlan, ...], days: tuple[date, ...], nets: Mapping[tuple[str, date], int]
) -> tuple[list[GeneratedFile], list[BankAnswer]]:
    """Write a statement for each bank account and each day after one of business.

    Args:
        nets: By account and day of the bill, what the channel owes for it, less its fees.
    """
    files, answers = [], []
    for currency, (account, number) in BANK_ACCOUNTS.items():
        of_currency = [plan for plan in plans if plan.currency == currency]
        balance = _OPENING_MINOR
        for day_no, day in enumerate(days if of_currency else ()):
            booked = day + timedelta(days=1)
            entries, planted = _entries(
                of_currency, day_no, day, {p.account: nets[p.account, day] for p in of_currency}
            )
            answers += [
                BankAnswer(account, side, key, klass, column, booked, currency, amount)
                for side, key, klass, column, amount in planted
            ]
            folder = RunFolder(out, account, booked).inputs
            folder.mkdir(parents=True)
            path = folder / f"statement-{booked}.xml"
            path.write_text(_statement(number, currency, booked, balance, entries), encoding="utf-8")
            balance += sum(entry.amount for entry in entries)
            files.append(GeneratedFile(str(path.relative_to(out)), account, LAYOUT, booked, booked, len(entries)))
    return files, answers


_Planted = tuple[str, str, str, str, int]


def _entries(
    plans: list[AccountPlan], day_no: int, day: date, nets: Mapping[str, int]
) -> tuple[list[_Entry], list[_Planted]]:
    """Return the entries of a day, by a cycle of days in which every class occurs."""
    entries: list[_Entry] = []
    planted: list[_Planted] = []
    place = day_no % _CYCLE
    joined = [plan for plan in plans if plan.channel in ("wechat", "alipay")] if place == 1 else []
    if len(joined) > 1:
        entries.append(_Entry(sum(nets[plan.account] for plan in joined), "acquiring income"))
    else:
        joined = []
    for plan in plans:
        net, name = nets[plan.account], f"{plan.number or plan.account}:{day}"
        text = f"SETTLEMENT {plan.number} {day:%Y%m%d}" if plan.number else "TRANSFER"
        if plan in joined:
            continue
        if (plan.channel, place) == ("alipay", 0):
            entries.append(_Entry(net - _SHORT_MINOR, text))
            planted.append(("both", name, "mismatch", "settled", -_SHORT_MINOR))
        elif (plan.channel, place) == ("unionpay", 0):
            entries += [_Entry(net // 3, f"{text} 1/2"), _Entry(net - net // 3, f"{text} 2/2")]
        elif (plan.channel, place) == ("unionpay", 1):
            planted.append(("ours", name, "missing", "", -net))
        elif (plan.channel, place) == ("wechat", 2):
            entries += [_Entry(amount, "acquiring income") for amount in (_TWIN_MINOR, _TWIN_MINOR, net - _TWIN_MINOR)]
            planted.append(("both", name, "ambiguous", "", _TWIN_MINOR))
        else:
            entries.append(_Entry(net, text))
    if place == 0:
        entries.append(_Entry(_UNEXPECTED_MINOR, "deposit by somebody else"))
        planted.append(
            ("theirs", _reference(day + timedelta(days=1), len(entries)), "unexpected", "", _UNEXPECTED_MINOR)
        )
    return entries, planted


def _reference(booked: date, number: int) -> str:
    return f"BK{booked:%Y%m%d}{number:06d}"


def _statement(number: str, currency: str, day: date, opening: int, entries: list[_Entry]) -> str:
    closing = opening + sum(entry.amount for entry in entries)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>',
        f"<GrpHdr><MsgId>{day:%Y%m%d}-{number}</MsgId><CreDtTm>{day}T23:59:59Z</CreDtTm></GrpHdr>",
        f"<Stmt><Id>{day:%Y%m%d}</Id><CreDtTm>{day}T23:59:59Z</CreDtTm>",
        f"<Acct><Id><Othr><Id>{number}</Id></Othr></Id><Ccy>{currency}</Ccy></Acct>",
        _balance("OPBD", opening, currency, day),
        _balance("CLBD", closing, currency, day),
        *_lines(day, currency, entries),
        "</Stmt></BkToCstmrStmt></Document>",
    ]
    return "\n".join(lines) + "\n"


def _lines(day: date, currency: str, entries: list[_Entry]) -> Iterator[str]:
    for number, entry in enumerate(entries, 1):
        yield (
            f"<Ntry>{_amount(entry.amount, currency)}<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt>"
            f"<ValDt><Dt>{day}</Dt></ValDt><AcctSvcrRef>{_reference(day, number)}</AcctSvcrRef>"
            "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
            f"<NtryDtls><TxDtls><RmtInf><Ustrd>{escape(entry.text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
        )


def _balance(code: str, amount: int, currency: str, day: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(amount, currency)}<Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _amount(amount: int, currency: str) -> str:
    """Write an amount without its sign, and its direction."""
    direction = "CRDT" if amount >= 0 else "DBIT"
    return f'<Amt Ccy="{currency}">{to_major(abs(amount), currency)}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'
