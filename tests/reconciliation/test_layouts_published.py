"""The layouts of formats that others publish, on rows as their descriptions show them; and banks' own tables."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import duckdb
import pytest

from hutong.channels.errors import BillRefused
from hutong.errors import InvalidParameter
from hutong.reconciliation import layouts
from hutong.reconciliation.normalised import Normalised

DAY = date(2026, 3, 1)
ADYEN = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,"
    "Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,"
    "Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),Batch Number\n"
    'Co,Shop,7914073381342284,"ORDER, 1",visa,2012-07-26 19:58:55,CEST,Settled,8514073381342284,EUR,,45.99,1,EUR,,'
    "45.10,,0.30,0.09,0.50,118\n"
    'Co,Shop,7914073381342284,"ORDER, 1",visa,2012-07-27 12:00:00,CEST,Refunded,8514073381342285,EUR,5.00,,1,EUR,'
    "5.10,,0.10,,,,118\n"
    "Co,Shop,7914073381342286,ORDER-2,mc,2012-07-27 12:00:00,CEST,Settled,8514073381342286,JPY,,1000,0.0061,EUR,,"
    "6.00,0.10,,,,118\n"
    "Co,Shop,7914073381342284,ORDER-3,visa,2012-07-28 01:00:00,CEST,Chargeback,8514073381342287,EUR,9.00,,1,EUR,"
    "16.50,,7.50,,,,118\n"
    "Co,Shop,,,,2012-07-28 00:00:00,CEST,MerchantPayout,TX1 batch 118,,,,,EUR,46.00,,,,,,118\n"
)
ANTOM = (
    "settlementBatchId,customerId,transactionId,originalTransactionId,transactionRequestId,paymentMethodType,"
    "transactionType,paymentTime,transactionAmountValue,transactionCurrency,settlementAmountValue,settlementCurrency\n"
    "B1,218812,P1,,att_1,ALIPAY_HK,PAYMENT,2026-03-01T23:59:59+08:00,100.00,USD,97.50,USD\n"
    "B1,218812,R1,P1,ref_1,ALIPAY_HK,REFUND,2026-03-01T10:00:00+08:00,-40.00,USD,-40.00,USD\n"
    "B1,218812,P2,,att_2,KAKAOPAY,PAYMENT,2026-03-01T10:00:00+08:00,1500,KRW,1.12,USD\n"
    "<END>\n"
)
EBANX = (
    "MERCHANT,PAYMENT HASH,MERCHANT PAYMENT CODE,STATUS,OPEN DATE,CONFIRM DATE,AMOUNT LOCAL,AMOUNT EXT,CURRENCY\n"
    'EBANX Demo Merchant,54154bb44a4ac,INV-2024-001,CO,2024-10-24 10:30:15,2024-10-24 14:22:30,"1,250.00",250.50,USD\n'
    "EBANX Demo Merchant,54154bb44a4ad,INV-2024-002,CA,2024-10-24 10:30:15,,543.10,100.00,USD\n"
)
BANK = (
    "Account,Date,Currency,Credit,Debit,Reference,Memo\n"
    'CN12,2026-03-01,CNY,"1,234.50",,T1,"净额 20260228, 批次 7"\n'
    "CN12,2026-03-01,CNY,,3.00,T2,fee\n"
)


def at(*parts: int) -> datetime:
    """Return an instant in UTC as rows have it."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type,misc]


def read(name: str, path: Path, columns: str, **options: Any) -> tuple[Normalised, list[tuple[Any, ...]]]:
    out = path.with_suffix(".parquet")
    result = layouts.normalise(layouts.load(name), [path], out, account=options.get("account"), day=options.get("day"))
    return result, duckdb.sql(f"FROM read_parquet('{out}') SELECT {columns} ORDER BY line").fetchall()


def test_adyen_settlement_details(tmp_path: Path) -> None:
    path = tmp_path / "adyen.csv"
    path.write_text(ADYEN)
    columns = 'kind, key, original_key, currency, ordered, settled, fee, batch, day, "at"'
    result, rows = read("adyen_settlement_detail", path, columns)
    assert rows == [
        ("payment", "ORDER, 1", "", "EUR", 4599, 4599, 89, "118", date(2012, 7, 26), at(2012, 7, 26, 17, 58, 55)),
        ("refund", "8514073381342285", "ORDER, 1", "EUR", -500, -500, 10, "118", date(2012, 7, 27),
         at(2012, 7, 27, 10)),
        ("payment", "ORDER-2", "", "JPY", 1000, 1000, None, "118", date(2012, 7, 27), at(2012, 7, 27, 10)),
        ("dispute", "", "ORDER-3", "EUR", -900, -900, 750, "118", date(2012, 7, 28), at(2012, 7, 27, 23)),
        ("other", "", "", "EUR", -4600, -4600, None, "118", date(2012, 7, 28), at(2012, 7, 27, 22)),
    ]  # fmt: skip
    assert (result.rows, result.merchant, result.day) == (5, "Shop", date(2012, 7, 28))


def test_antom_settlement_details(tmp_path: Path) -> None:
    path = tmp_path / "antom.csv"
    path.write_text(ANTOM)
    _, rows = read("antom_settlement_details", path, 'kind, key, original_key, currency, ordered, fee, "at"')
    assert rows == [
        ("payment", "att_1", "", "USD", 10_000, 250, at(2026, 3, 1, 15, 59, 59)),
        ("refund", "ref_1", "P1", "USD", -4000, 0, at(2026, 3, 1, 2)),
        ("payment", "att_2", "", "KRW", 1500, None, at(2026, 3, 1, 2)),
    ]


def test_file_without_its_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "antom.csv"
    path.write_text(ANTOM.removesuffix("<END>\n"))
    with pytest.raises(BillRefused, match="line -1 from the end"):
        read("antom_settlement_details", path, "kind")


def test_ebanx_transactions(tmp_path: Path) -> None:
    path = tmp_path / "ebanx.csv"
    path.write_text(EBANX)
    _, rows = read("ebanx_transactions", path, "kind, key, channel_no, settled, fee, state", day=date(2024, 10, 24))
    assert rows == [
        ("payment", "INV-2024-001", "54154bb44a4ac", 25_050, None, "succeeded"),
        ("payment", "INV-2024-002", "54154bb44a4ad", 10_000, None, "failed"),
    ]


def test_bank_statement_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    path.write_text(BANK)
    result, rows = read("bank_csv", path, "kind, channel_no, memo, settled, day", account="CN12")
    assert rows == [
        ("entry", "T1", "净额 20260228, 批次 7", 123_450, DAY),
        ("entry", "T2", "fee", -300, DAY),
    ]
    assert result.totals == {
        "entry": {"CNY": {"count": 2, "ordered": 123_150, "paid": 123_150, "settled": 123_150, "fee": 0}}
    }
    with pytest.raises(BillRefused, match="another merchant"):
        read("bank_csv", path, "kind", account="CN13")


def workbook(rows: list[list[str | float | None]]) -> bytes:
    """Return a spreadsheet with one sheet; numbers are written as they are."""
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(
            f'<c r="{chr(65 + place)}{number}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
            if isinstance(value, str)
            else f'<c r="{chr(65 + place)}{number}"><v>{value!r}</v></c>'
            for place, value in enumerate(row)
            if value is not None
        )
        lines.append(f'<row r="{number}">{cells}</row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        packed.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{relations}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        packed.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets>'
            "</workbook>",
        )
        packed.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{relations}/worksheet" '
            'Target="worksheets/sheet1.xml"/></Relationships>',
        )
        packed.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        )
    return buffer.getvalue()


HEADER: list[str | float | None] = ["Account", "Date", "Currency", "Credit", "Debit", "Reference", "Memo"]


def test_bank_statement_as_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "bank.xlsx"
    path.write_bytes(
        workbook([HEADER, ["CN12", "2026-03-01", "CNY", 1234.5, None, 100200300, "net"],
                  ["CN12", "2026-03-01", "CNY", None, 0.29, "T2", "fee"]])
    )  # fmt: skip
    _, rows = read("bank_xlsx", path, "channel_no, memo, settled")
    assert rows == [("100200300", "net", 123_450), ("T2", "fee", -29)]


@pytest.mark.parametrize(
    ("amount", "reference", "reason"),
    [
        (0.1 + 0.2, "T1", "cell D2 is not exact"),
        (10.005, "T1", "cell D2"),
        (1.0, 4200000000202101280, "cell F2 has lost"),
    ],
)
def test_spreadsheet_numbers_that_are_not_exact_are_refused(
    tmp_path: Path, amount: float, reference: str | float, reason: str
) -> None:
    path = tmp_path / "bank.xlsx"
    path.write_bytes(workbook([HEADER, ["CN12", "2026-03-01", "CNY", amount, None, reference, "net"]]))
    with pytest.raises(BillRefused, match=reason):
        read("bank_xlsx", path, "kind")


def test_each_layout_names_its_source_and_its_titles() -> None:
    found = {layout.name: layout for layout in layouts.list_layouts()}
    assert {"wechat_trade", "alipay_business_detail", "unionpay_zm", "stripe_balance"} <= set(found)
    assert all(layout.sources and layout.title and layout.title_zh for layout in found.values())


def test_operators_folder_adds_layouts_and_wrong_ones_name_their_entry(tmp_path: Path) -> None:
    text = (Path(layouts.__file__).parent / "ebanx_transactions.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("ebanx_transactions", "mine"))
    assert layouts.load("mine", tmp_path).title == "EBANX all transactions report"
    (tmp_path / "wrong.toml").write_text(
        text.replace("ebanx_transactions", "wrong").replace('fee = "none"', "feee = 1")
    )
    with pytest.raises(InvalidParameter, match=r"wrong\.toml: row\.feee"):
        layouts.load("wrong", tmp_path)
    with pytest.raises(InvalidParameter, match="there is no layout `other`"):
        layouts.load("other", tmp_path)
