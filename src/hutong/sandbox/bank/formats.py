"""The bank's statements as camt.053.001.08 and as MT940, after the facts of `facts.toml`."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

from hutong.money import to_major
from hutong.sandbox.bank.entries import BankEntry, SandboxStatement


@cache
def facts() -> dict[str, Any]:
    """Return the facts that statements keep to."""
    return tomllib.loads((importlib.resources.files(__package__) / "facts.toml").read_text())


def write_camt(statement: SandboxStatement) -> bytes:
    """Write a statement as camt.053.001.08."""
    rules, number = (
        facts()["camt"],
        f"SB-{statement.day:%Y%m%d}-{statement.currency}"[: facts()["camt"]["identifier_chars"]],
    )
    made = f"{statement.day}T23:59:59+08:00"
    sums = [
        sum(entry.amount_minor for entry in statement.entries if (entry.amount_minor > 0) is comes)
        for comes in (True, False)
    ]
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<Document xmlns="{rules["namespace"]}"><BkToCstmrStmt>',
        f"<GrpHdr><MsgId>{number}</MsgId><CreDtTm>{made}</CreDtTm></GrpHdr>",
        f"<Stmt><Id>{number}</Id><StmtPgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></StmtPgntn>",
        f"<CreDtTm>{made}</CreDtTm><Acct><Id><IBAN>{facts()['account']['number']}</IBAN></Id>",
        f"<Ccy>{statement.currency}</Ccy></Acct>",
        _balance(statement, rules["opening"], statement.opening_minor),
        _balance(statement, rules["closing"], statement.closing_minor),
        f"<TxsSummry><TtlNtries><NbOfNtries>{len(statement.entries)}</NbOfNtries>",
        f"<Sum>{to_major(sums[0] - sums[1], statement.currency)}</Sum></TtlNtries></TxsSummry>",
        *(_entry(entry, statement) for entry in statement.entries),
        "</Stmt></BkToCstmrStmt></Document>",
    ]
    return "\n".join(parts).encode()


def _balance(statement: SandboxStatement, code: str, minor: int) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(minor, statement.currency)}"
        f"<Dt><Dt>{statement.day}</Dt></Dt></Bal>"
    )


def _amount(minor: int, currency: str) -> str:
    direction = "DBIT" if minor < 0 else "CRDT"
    return f'<Amt Ccy="{currency}">{to_major(abs(minor), currency)}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'


def _entry(entry: BankEntry, statement: SandboxStatement) -> str:
    rules = facts()["camt"]
    family, sub_family = rules["transaction"]["received" if entry.amount_minor > 0 else "issued"]
    reference = (
        f"<EndToEndId>{escape(entry.reference[: rules['identifier_chars']])}</EndToEndId>" if entry.reference else ""
    )
    amount = _amount(entry.amount_minor, statement.currency)
    return (
        f"<Ntry>{amount}<Sts><Cd>{rules['booked']}</Cd></Sts><BookgDt><Dt>{statement.day}</Dt></BookgDt>"
        f"<ValDt><Dt>{statement.day}</Dt></ValDt><AcctSvcrRef>{entry.number}</AcctSvcrRef>"
        f"<BkTxCd><Domn><Cd>{rules['transaction']['domain']}</Cd><Fmly><Cd>{family}</Cd>"
        f"<SubFmlyCd>{sub_family}</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"<NtryDtls><TxDtls><Refs>{reference}</Refs>{amount}"
        f"<RmtInf><Ustrd>{escape(entry.text[: rules['remittance_chars']])}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
    )


def write_mt940(statement: SandboxStatement) -> bytes:
    """Write a statement as MT940."""
    day, rules = f"{statement.day:%y%m%d}", facts()["mt940"]
    lines = [
        f":20:SB{statement.day:%Y%m%d}"[: 4 + rules["reference_chars"]],
        f":25:{facts()['account']['number']}",
        f":28C:{statement.day:%j}/1",
        f":60F:{_mark(statement.opening_minor)}{day}{statement.currency}{_comma(statement.opening_minor, statement)}",
    ]
    for entry in statement.entries:
        kind = rules["received" if entry.amount_minor > 0 else "issued"]
        lines.append(
            f":61:{day}{day[2:]}{_mark(entry.amount_minor)}{_comma(entry.amount_minor, statement)}{kind}NONREF"
            f"//{entry.number[: rules['reference_chars']]}"
        )
        lines.append(":86:" + "\n".join(_folded(entry.text)))
    closing = statement.closing_minor
    lines.append(f":62F:{_mark(closing)}{day}{statement.currency}{_comma(closing, statement)}")
    return "".join(f"{line}\r\n" for line in "\n".join([*lines, "-"]).split("\n")).encode("ascii", "replace")


def _mark(minor: int) -> str:
    return "D" if minor < 0 else "C"


def _comma(minor: int, statement: SandboxStatement) -> str:
    whole, _, fraction = to_major(abs(minor), statement.currency).partition(".")
    return f"{whole},{fraction}"


def _folded(text: str) -> Iterator[str]:
    rules = facts()["mt940"]
    for place in range(0, min(len(text), rules["line_chars"] * rules["lines"]), rules["line_chars"]):
        yield text[place : place + rules["line_chars"]]
