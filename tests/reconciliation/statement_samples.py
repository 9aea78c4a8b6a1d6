"""Statements of banks as their formats' owners and banks publish them, written out by hand and not by our own writer.

Source:
    camt.053: the figures of ISO 20022's business sample (AAAASESS-FP-STAT001, https://www.iso20022.org).
    MT940: the fields of a statement that the library mt-940 and banks' guides show (BPH, Deutsche Bank).
    BAI2: the records of the sample in BAI's Technical Reference Manual, version 2, with balances that hold.
"""

from __future__ import annotations

ISO_ACCOUNT = "50000000054910000003"


def camt(
    version: str = "053.001.02",
    *,
    number: str = ISO_ACCOUNT,
    currency: str = "SEK",
    opening: str | None = "500000",
    closing: str | None = "435678.50",
    entries: str | None = None,
    extra: str = "",
    prolog: str = "",
) -> str:
    """Return the ISO sample's statement in a version, or with other parts."""
    minor = int(version[-2:])
    old = minor == 1
    message, statement = {
        "052": ("BkToCstmrAcctRpt", "Rpt"),
        "053": ("BkToCstmrStmt", "Stmt"),
        "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
    }[version[:3]]
    identifier = f"<PrtryAcct><Id>{number}</Id></PrtryAcct>" if old else f"<Othr><Id>{number}</Id></Othr>"

    def balance(code: str, amount: str | None) -> str:
        if amount is None or version.startswith("054"):
            return ""
        kind = f"<Cd>{code}</Cd>" if old else f"<CdOrPrtry><Cd>{code}</Cd></CdOrPrtry>"
        return (
            f'<Bal><Tp>{kind}</Tp><Amt Ccy="{currency}">{amount.lstrip("-")}</Amt>'
            f"<CdtDbtInd>{'DBIT' if amount.startswith('-') else 'CRDT'}</CdtDbtInd><Dt><Dt>2010-10-18</Dt></Dt></Bal>"
        )

    if entries is None:
        entries = (
            entry(
                "105678.50", "CRDT", currency, minor, number="AAAASESS-FP-CN_98765/01", reference="MUELL/FINP/RA12345"
            )
            + entry("200000", "DBIT", currency, minor, number="AAAASESS-FP-ACCR-01")
            + entry("30000", "CRDT", currency, minor, number="AAAASESS-FP-CONF-FX")
        )
    message += "V01" if old else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prolog}'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{version}"><{message}>'
        "<GrpHdr><MsgId>AAAASESS-FP-STAT001</MsgId><CreDtTm>2010-10-18T17:00:00+01:00</CreDtTm></GrpHdr>"
        f"<{statement}><Id>AAAASESS-FP-STAT001</Id>"
        "<CreDtTm>2010-10-18T17:00:00+01:00</CreDtTm>"
        f"<Acct><Id>{identifier}</Id><Ccy>{currency}</Ccy></Acct>"
        f"{balance('OPBD', opening)}{balance('CLBD', closing)}{extra}{entries}</{statement}></{message}></Document>"
    )


def entry(
    amount: str,
    direction: str,
    currency: str = "SEK",
    version: int = 2,
    *,
    number: str = "",
    reference: str = "",
    text: str = "",
    status: str = "BOOK",
    reversal: bool = False,
    details: str = "",
    day: str = "2010-10-18",
) -> str:
    """Return an entry."""
    state = status if version < 7 else f"<Cd>{status}</Cd>"
    code = "<BkTxCd><Prtry><Cd>NTRF</Cd></Prtry></BkTxCd>" if version > 1 else "<BkTxCd/>"
    if reference or text:
        remittance = f"<RmtInf><Ustrd>{text}</Ustrd></RmtInf>" if text else ""
        money = f'<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>' if 2 < version < 7 else ""
        details += detail("", reference=reference, rest=money + remittance)
    if details and version > 1:
        details = f"<NtryDtls>{details}</NtryDtls>"
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'
        f"{'<RvslInd>true</RvslInd>' if reversal else ''}<Sts>{state}</Sts>"
        f"<BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt>"
        f"{f'<AcctSvcrRef>{number}</AcctSvcrRef>' if number else ''}{code}{details}</Ntry>"
    )


def detail(amount: str, *, currency: str = "SEK", reference: str = "", rest: str = "") -> str:
    """Return a transaction of an entry, in the form of versions up to 7."""
    references = f"<Refs><EndToEndId>{reference}</EndToEndId></Refs>" if reference else ""
    stated = f'<AmtDtls><TxAmt><Amt Ccy="{currency}">{amount}</Amt></TxAmt></AmtDtls>' if amount else ""
    return f"<TxDtls>{references}{stated}{rest}</TxDtls>"


MT940 = """{1:F01BPHKPLPKXXXX0000000000}{2:I940BPHKPLPKXXXXN}{4:
:20:TELEWIZORY S.A.
:25:BPHKPLPK/320000546101
:28C:00084/001
:60F:C031002PLN40000,00
:61:0310201020C20000,00FMSCNONREF//8327000090031789
Card transaction
:86:020?00Wyplata-(dysp/przel)?2008106000760000777777777777?2115617?
22INFO INFO INFO 1 END?23INFO?24ZAPLATA ZA FABRYKATY DO TUB?25SETTLEM
ENT 1900000109 20031019?310890010027?32HUTA SZKLA TOPIC UL PRZEMY
:61:0310201020D10000,00FTRFREF 25611247//8327000090031790
Transfer
:86:/EREF/E2E-4711//REMI/USTD//Invoice 4711/
:61:0310201020RC40,00FTRFNONREF//8327000090031791
Interest credit taken back
:86:plain text without any structure
:62F:C031020PLN49960,00
-}
"""

BAI2 = """01,122099999,123456789,040621,0200,1,65,,2/
02,031001234,122099999,1,040620,2359,,2/
03,0123456789,,010,+4350000,,,015,+4349900,,/
88,100,1300,2,,400,1400,2,/
16,165,1000,0,DD1620,,DEALER PAYMENTS/
16,195,300,V,040622,,SWIFT1,SETTLEMENT 1900000109 20040619/
16,475,900,Z,,1001,CHECK PAID/
16,698,500,0,FEE1,,MISC FEES
88, SECOND LINE/
49,8705300,8/
98,8705300,1,10/
99,8705300,1,12/
"""
