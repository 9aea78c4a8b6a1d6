"""Bank statements become rows: whole files whose balances hold, and nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import statement_samples as samples
from test_batches import read_rows

from hutong.channels import BillRefused
from hutong.reconciliation import bank

OLD_VERSIONS = range(1, 15)


def read(tmp_path: Path, text: str | bytes, format: str = "camt", **account: Any) -> list[dict[str, Any]]:  # noqa: A002
    path, out = tmp_path / "statement", tmp_path / "rows.parquet"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    chosen = {"number": samples.ISO_ACCOUNT, "currency": "SEK"} | account
    normalised = bank.normalise_statement(path, out, format=format, **chosen)
    rows = read_rows(out)
    assert normalised.rows == len(rows)
    assert normalised.totals == {
        "entry": {chosen["currency"]: {"rows": len(rows), "settled": sum(r["settled"] for r in rows)}}
    }
    return rows


def refused(tmp_path: Path, text: str | bytes, match: str, format: str = "camt", **account: Any) -> None:  # noqa: A002
    with pytest.raises(BillRefused, match=match):
        read(tmp_path, text, format, **account)
    assert [path.name for path in tmp_path.iterdir()] == ["statement"]


@pytest.mark.parametrize("name", ["statement.part", "statement.rows", "statement.finished"])
def test_rows_stay_whatever_name_they_are_asked_under(tmp_path: Path, name: str) -> None:
    path, out = tmp_path / "statement", tmp_path / name
    path.write_bytes(samples.camt("053.001.08").encode())
    bank.normalise_statement(path, out, format="camt", number=samples.ISO_ACCOUNT, currency="SEK")
    assert len(read_rows(out)) == 3
    assert {each.name for each in tmp_path.iterdir()} == {"statement", name}


@pytest.mark.parametrize("message", ["052", "053", "054"])
@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_every_version_is_read(tmp_path: Path, message: str, version: int) -> None:
    rows = read(tmp_path, samples.camt(f"{message}.001.{version:02}"))
    assert [row["settled"] for row in rows] == [10_567_850, -20_000_000, 3_000_000]
    assert [row["channel_no"] for row in rows] == [
        "AAAASESS-FP-CN_98765/01",
        "AAAASESS-FP-ACCR-01",
        "AAAASESS-FP-CONF-FX",
    ]
    assert {(row["kind"], row["day"], row["settle_day"], row["fee"], row["at"]) for row in rows} == {
        ("entry", date(2010, 10, 18), date(2010, 10, 18), None, None)
    }


def test_balances_that_do_not_hold_refuse_the_file(tmp_path: Path) -> None:
    refused(tmp_path, samples.camt(closing="435678.51"), "make 435678.50 SEK, and the closing balance is 435678.51")
    refused(tmp_path, samples.camt(opening=None), "no opening balance")
    refused(tmp_path, samples.camt(closing=None), "no closing balance")


def test_pending_entries_do_not_count_and_reversals_have_their_own_direction(tmp_path: Path) -> None:
    entries = (
        samples.entry("10", "CRDT", number="A")
        + samples.entry("10", "DBIT", number="B", reversal=True)
        + samples.entry("7", "CRDT", number="C", status="PDNG")
    )
    rows = read(tmp_path, samples.camt(opening="-3", closing="-3", entries=entries))
    assert [(row["channel_no"], row["settled"]) for row in rows] == [("A", 1_000), ("B", -1_000)]


def test_the_transactions_of_a_batch_are_rows_if_they_make_the_entry(tmp_path: Path) -> None:
    parts = samples.detail("60", reference="E1") + samples.detail("40", reference="SETTLEMENT 1900000109 20101017")
    whole = samples.entry("100", "CRDT", number="B1", details=parts)
    rows = read(tmp_path, samples.camt(opening="0", closing="100", entries=whole))
    assert [(row["settled"], row["batch"], row["channel_no"], row["line"]) for row in rows] == [
        (6_000, "", "B1", 1),
        (4_000, "1900000109:2010-10-17", "B1#2", 1),
    ]
    foreign = samples.detail("60", currency="EUR") + samples.detail("40")
    entry = samples.entry("100", "CRDT", details=foreign)
    assert len(read(tmp_path, samples.camt(opening="0", closing="100", entries=entry))) == 1
    wrong = samples.entry("100", "CRDT", details=samples.detail("60") + samples.detail("41"))
    (tmp_path / "rows.parquet").unlink()
    refused(tmp_path, samples.camt(opening="0", closing="100", entries=wrong), "do not add up")


def test_a_stated_sum_that_does_not_hold_refuses_the_file(tmp_path: Path) -> None:
    def summary(count: int, total: str) -> str:
        return f"<TxsSummry><TtlNtries><NbOfNtries>{count}</NbOfNtries><Sum>{total}</Sum></TtlNtries></TxsSummry>"

    assert len(read(tmp_path, samples.camt(extra=summary(3, "335678.5")))) == 3
    (tmp_path / "rows.parquet").unlink()
    refused(tmp_path, samples.camt(extra=summary(4, "335678.5")), "states 4 in TtlNtries/NbOfNtries")
    refused(tmp_path, samples.camt(extra=summary(3, "335678.49")), "TtlNtries/Sum")


def test_pages_continue_each_other(tmp_path: Path) -> None:
    def page(number: int, last: str, balances: str, entries: str) -> str:
        return (
            f"<Stmt><Id>S</Id><StmtPgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></StmtPgntn>"
            f"<CreDtTm>2010-10-18T17:00:00</CreDtTm><Acct><Id><IBAN>DE58740618130100033626</IBAN></Id></Acct>{balances}{entries}</Stmt>"
        )

    def balance(code: str, amount: str) -> str:
        return (
            f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="SEK">{amount}</Amt>'
            "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2010-10-18</Dt></Dt></Bal>"
        )

    def file(*pages: str) -> str:
        head = "<GrpHdr><MsgId>M</MsgId><CreDtTm>2010-10-18T17:00:00</CreDtTm></GrpHdr>"
        namespace = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.04"
        return f'<Document xmlns="{namespace}"><BkToCstmrStmt>{head}{"".join(pages)}</BkToCstmrStmt></Document>'

    ten = samples.entry("10", "CRDT", version=4)
    first = page(1, "false", balance("OPBD", "5") + balance("ITBD", "15"), ten)
    second = page(2, "true", balance("ITBD", "15") + balance("CLBD", "25"), ten)
    number = "DE58 7406 1813 0100 0336 26"
    rows = read(tmp_path, file(first, second), number=number)
    assert [row["settled"] for row in rows] == [1_000, 1_000]
    assert rows[0]["channel_no"].startswith("sha:")
    assert rows[1]["channel_no"] == rows[0]["channel_no"] + "#2"
    (tmp_path / "rows.parquet").unlink()
    gap = page(2, "true", balance("ITBD", "16") + balance("CLBD", "26"), ten)
    refused(tmp_path, file(first, gap), "does not begin with the balance", number=number)


def test_another_account_or_currency_refuses_the_file(tmp_path: Path) -> None:
    refused(tmp_path, samples.camt(number="12345"), "another account")
    refused(tmp_path, samples.camt(), "in SEK, and the account is kept in EUR", currency="EUR")
    mixed = samples.camt().replace(
        "</Stmt>", "</Stmt>" + samples.camt(number="9").partition("</GrpHdr>")[2].partition("</BkTo")[0]
    )
    refused(tmp_path, mixed, "another account")


@pytest.mark.parametrize(
    ("currency", "amount", "minor"), [("JPY", "1000", 1_000), ("KWD", "1.234", 1_234), ("CNY", "1.200", 120)]
)
def test_decimals_are_those_of_the_currency(tmp_path: Path, currency: str, amount: str, minor: int) -> None:
    entries = samples.entry(amount, "CRDT", currency)
    text = samples.camt(currency=currency, opening="0", closing=amount, entries=entries)
    assert [row["settled"] for row in read(tmp_path, text, currency=currency)] == [minor]
    (tmp_path / "rows.parquet").unlink()
    finer = amount + ("01" if "." in amount else ".1")
    refused(tmp_path, text.replace(f">{amount}<", f">{finer}<"), "no amount in", currency=currency)


ENTITIES = '<!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE Document SYSTEM "file:///etc/hostname">'


@pytest.mark.parametrize(
    "prolog", [ENTITIES, EXTERNAL, '<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/hostname">]>']
)
def test_a_document_type_refuses_the_file(tmp_path: Path, prolog: str) -> None:
    refused(tmp_path, samples.camt(prolog=prolog), "document type")


def test_what_is_no_statement_is_refused(tmp_path: Path) -> None:
    whole = samples.camt()
    refused(tmp_path, "", "not a valid camt")
    refused(tmp_path, "<html/>", "not a camt")
    refused(tmp_path, whole.replace("053.001.02", "053.001.15"), "known version")
    refused(tmp_path, whole[: len(whole) // 2], "not a valid camt")
    refused(tmp_path, whole[:-3], "not a valid camt")
    refused(tmp_path, whole.replace("<CdtDbtInd>CRDT", "<CdtDbtInd>BOTH", 1), "not a valid camt")
    refused(tmp_path, whole.replace("<BkToCstmrStmt>", "<BkToCstmrStmt>" + "<a>" * 300), "not a valid camt")


def test_a_huge_statement_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hutong.reconciliation.bank import statement

    path = tmp_path / "statement"
    with path.open("wb") as file:
        file.truncate(statement.STATEMENT_BYTES_MAX + 1)
    with pytest.raises(BillRefused, match="larger than 1024 MB"):
        bank.normalise_statement(path, tmp_path / "rows.parquet", format="camt", number="1", currency="SEK")


def test_mt940_with_each_form_of_field_86(tmp_path: Path) -> None:
    account = {"number": "320000546101", "currency": "PLN"}
    rows = read(tmp_path, samples.MT940, "mt940", **account)
    assert [row["settled"] for row in rows] == [2_000_000, -1_000_000, -4_000]
    assert [row["channel_no"] for row in rows] == ["8327000090031789", "8327000090031790", "8327000090031791"]
    assert [row["batch"] for row in rows] == ["1900000109:2003-10-19", "", ""]
    assert "E2E-4711" in rows[1]["memo"]
    assert "plain text without any structure" in rows[2]["memo"]
    again = read(tmp_path, samples.MT940.replace("\n", "\r\n"), "mt940", **account)
    assert again == rows


def test_mt940_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    account = {"number": "320000546101", "currency": "PLN"}
    text = samples.MT940
    refused(tmp_path, text.replace("C031020PLN49960", "C031020PLN49961"), "mt940|make 49960", "mt940", **account)
    refused(tmp_path, text[: text.index(":62F:")], "no closing balance", "mt940", **account)
    refused(tmp_path, text.replace(":61:0310201020C2", ":61:03102X"), "not a valid MT940|balance", "mt940", **account)
    refused(tmp_path, text.replace("PLN", "EUR"), "in EUR", "mt940", **account)
    refused(tmp_path, "/etc/hostname", "no statement", "mt940", **account)
    refused(tmp_path, text, "another account", "mt940", number="1", currency="PLN")


def test_bai2_proves_its_totals_and_balances(tmp_path: Path) -> None:
    account = {"number": "0123456789", "currency": "USD"}
    rows = read(tmp_path, samples.BAI2, "bai2", **account)
    assert [(row["settled"], row["channel_no"], row["batch"], row["settle_day"]) for row in rows] == [
        (1_000, "DD1620", "", date(2004, 6, 20)),
        (300, rows[1]["channel_no"], "1900000109:2004-06-19", date(2004, 6, 22)),
        (-900, rows[2]["channel_no"], "", date(2004, 6, 20)),
        (-500, "FEE1", "", date(2004, 6, 20)),
    ]
    assert "SECOND LINE" in rows[3]["memo"]
    (tmp_path / "rows.parquet").unlink()
    refused(tmp_path, samples.BAI2.replace("16,165,1000", "16,165,1001"), "does not add up", "bai2", **account)
    refused(tmp_path, samples.BAI2.replace("16,165,", "16,475,"), "opening balance and the entries", "bai2", **account)
    refused(tmp_path, samples.BAI2.partition("98,")[0], "not one whole", "bai2", **account)
    refused(tmp_path, samples.BAI2.replace("122099999,1,0", "122099999,4,0"), "deletion or a test", "bai2", **account)
    refused(tmp_path, samples.BAI2, "another account", "bai2", number="1", currency="USD")
