"""Bills, a statement and the match of both: what has arrived of each batch, and what stays open."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from test_batches import read_rows, write_rows

from hutong import ids as public_ids
from hutong.ids import Ids
from hutong.reconciliation import bank
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.batches import SettledBill, export_batches
from hutong.reconciliation.layers import LAYERS, SideSource
from hutong.reconciliation.matching import engine
from hutong.reconciliation.matching.model import MatchJob
from hutong.reconciliation.model import Layer
from hutong.sandbox.bank.entries import BankEntry, SandboxStatement
from hutong.sandbox.bank.formats import facts, write_camt

DAY = date(2026, 11, 29)
BILLED = DAY - timedelta(1)


class BankDay:
    """A day of a bank account: bills of channels by the merchant's number, and entries of the bank."""

    def __init__(self, tmp_path: Path, ids: Ids) -> None:
        self.folder = RunFolder(tmp_path / "runs", "bka_x", DAY)
        self.folder.rows(SideSource.BANK).parent.mkdir(parents=True)
        self.ids, self.tmp_path = ids, tmp_path

    def match(self, bills: dict[str, int], entries: list[BankEntry], *, day: date = DAY) -> list[dict[str, Any]]:
        """Run the layer; return its differences."""
        settled = []
        for merchant, net in bills.items():
            path = write_rows(
                self.tmp_path / f"{merchant}.parquet", [{"merchant": merchant, "settled": net + 6, "fee": 6}]
            )
            settled.append(SettledBill(public_ids.encode("acc", self.ids.new()), BILLED, path))
        export_batches(settled, self.folder.rows(SideSource.BATCHES), currency="CNY", window=bank.BANK_WINDOW)
        statement = self.tmp_path / "statement.xml"
        statement.write_bytes(write_camt(SandboxStatement(DAY, "CNY", 0, entries)))
        bank.normalise_statement(
            statement,
            self.folder.rows(SideSource.BANK),
            format="camt",
            number=facts()["account"]["number"],
            currency="CNY",
        )
        out = self.folder.path / "results"
        job = MatchJob(
            LAYERS[Layer.BATCH_BANK], bank.BANK_WINDOW, day,
            [self.folder.rows(SideSource.BATCHES)], [self.folder.rows(SideSource.BANK)], out,
        )  # fmt: skip
        result = engine("one_sql").match(job)
        result.carry_ours.replace(self.folder.carry(SideSource.BATCHES))
        result.differences.replace(self.folder.differences(Layer.BATCH_BANK))
        return read_table(self.folder.differences(Layer.BATCH_BANK))

    def arrived(self) -> dict[str, int]:
        return {each.batch.partition(":")[0]: each.arrived_minor for each in bank.read_arrivals(self.folder)}


def read_table(path: Path) -> list[dict[str, Any]]:
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute(f"FROM read_parquet('{path}')")
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def credit(number: str, amount: int, merchant: str = "") -> BankEntry:
    reference = f"SETTLEMENT {merchant} {BILLED:%Y%m%d}" if merchant else ""
    return BankEntry(number, reference, reference or "PAYMENTS", amount)


@pytest.fixture
def bank_day(tmp_path: Path, ids: Ids) -> BankDay:
    return BankDay(tmp_path, ids)


def test_money_with_and_without_a_reference_finds_its_batch(bank_day: BankDay) -> None:
    entries = [credit("B1", 600, "m100"), credit("B2", 400, "m100"), credit("B3", 75), credit("B4", -30, "m300")]
    differences = bank_day.match({"m100": 1_000, "m200": 75, "m300": -30}, entries)
    assert differences == []
    assert bank_day.arrived() == {"m100": 1_000, "m200": 75, "m300": -30}
    assert len(read_rows(bank_day.folder.rows(SideSource.BANK))) == 4


def test_one_credit_for_two_batches_pays_both(bank_day: BankDay) -> None:
    assert bank_day.match({"m100": 1_000, "m200": 75}, [credit("B1", 1_075)]) == []
    assert bank_day.arrived() == {"m100": 1_000, "m200": 75}


def test_several_solutions_stay_open(bank_day: BankDay) -> None:
    (difference,) = bank_day.match({"m100": 75, "m200": 75}, [credit("B1", 75)])
    assert (difference["class"], difference["key"]) == ("ambiguous", "B1")
    assert bank_day.arrived() == {"m100": 0, "m200": 0}


@pytest.mark.parametrize(("amounts", "amount", "arrived"), [((999,), -1, 999), ((1_000, 1_000), 1_000, 1_000)])
def test_money_that_differs_arrives_as_far_as_it_is_owed(
    bank_day: BankDay, amounts: tuple[int, ...], amount: int, arrived: int
) -> None:
    entries = [credit(f"B{place}", each, "m100") for place, each in enumerate(amounts)]
    (difference,) = bank_day.match({"m100": 1_000}, entries)
    assert (difference["class"], difference["column"], difference["amount"]) == ("mismatch", "settled", amount)
    assert bank_day.arrived() == {"m100": arrived}


def test_a_batch_waits_and_is_then_missing(bank_day: BankDay) -> None:
    (waiting,) = bank_day.match({"m100": 1_000}, [])
    assert (waiting["class"], waiting["side"]) == ("pending", "ours")
    (missing,) = bank_day.match({"m100": 1_000}, [], day=BILLED + timedelta(bank.BANK_WINDOW.rolls))
    assert missing["class"] == "missing"
    assert bank_day.arrived() == {"m100": 0}
