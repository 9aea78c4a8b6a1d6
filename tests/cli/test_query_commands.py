"""`hutong query …`, as it is called; with payment records in the payments' database and in one of their own."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from typer.testing import CliRunner

from hutong import ids, search
from hutong.cli.main import app
from hutong.clock import ManualClock
from support import create_database
from support.command_line import Run
from support.fixtures.payment_records import PaymentEvents, open_database, record_events

DOWN = "postgresql://nobody:sesame@127.0.0.1:9/none"


@pytest.fixture
def recorded(fresh_database_url: str, clock: ManualClock) -> PaymentEvents:
    """Events of three payments and a refund, which payment records do not show yet."""
    payment_events = PaymentEvents(clock)

    async def write() -> None:
        async with open_database(fresh_database_url) as database:
            paid = [payment_events.payment(subject=f"=第{number}单") for number in range(3)]
            await record_events(database, *paid, payment_events.refund(paid[0]))

    asyncio.run(write())
    return payment_events


@pytest.fixture(params=["the same database", "a database of its own"])
def store(
    request: pytest.FixtureRequest, fresh_database_url: str, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return the URL of the database of payment records."""
    if request.param == "the same database":
        return fresh_database_url
    url = create_database(server_url)
    monkeypatch.setenv("HUTONG_QUERY_DATABASE_URL", url)
    return url


def sources(command: Run) -> dict[str, Any]:
    found = json.loads(command("query", "status", "--json").stdout)["sources"]
    return {one["source"]: (one["no"], one["last_no"], one["lag"]) for one in found}


@pytest.mark.usefixtures("recorded")
def test_status_shows_the_lag_and_a_rebuild_catches_up(command: Run, store: str) -> None:
    assert sources(command) == {"hutong.payment.0": (0, 3, 3), "hutong.refund.0": (0, 1, 1)}
    built = json.loads(command("query", "rebuild", "--from", "events", "--json").stdout)
    assert (built["bills"], built["equal"]) == (3, True)
    assert sources(command) == {"hutong.payment.0": (3, 3, 0), "hutong.refund.0": (1, 1, 0)}
    with psycopg.connect(store) as connection:
        counted = connection.execute("SELECT count(*) FROM search.payment_record").fetchone()
    assert counted == (3,)


@pytest.mark.usefixtures("recorded")
def test_a_comparison_replaces_nothing_and_says_so_by_its_status(command: Run, store: str) -> None:
    assert command("query", "rebuild").returncode == 0
    with psycopg.connect(store) as connection:
        connection.execute("UPDATE search.payment_record SET amount_minor = 1")
    looked = command("query", "rebuild", "--compare")
    assert (looked.returncode, "not equal" in looked.stdout, "replaced" in looked.stdout) == (1, True, False)
    assert "replaced" in command("query", "rebuild").stdout
    assert command("query", "rebuild", "--compare").returncode == 0


def test_an_export_is_csv_or_parquet(command: Run, store: str, recorded: PaymentEvents, tmp_path: Path) -> None:
    command("query", "rebuild")
    assert command("query", "export", str(tmp_path / "bills.csv")).stdout == "3 payment records\n"
    with (tmp_path / "bills.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["subject"] for row in rows] == ["'=第2单", "'=第1单", "'=第0单"]
    assert rows[2]["amount_refunded_minor"] == "500"
    merchant = ids.encode("mer", recorded.merchant_id)
    assert (
        command(
            "query", "export", str(tmp_path / "bills.parquet"), "--format", "parquet", "--merchant", merchant
        ).returncode
        == 0
    )
    found = duckdb.read_parquet(str(tmp_path / "bills.parquet"))
    assert [row[0] for row in found.order("id").select("subject").fetchall()] == ["=第0单", "=第1单", "=第2单"]
    other = ids.encode("mer", recorded.ids.new())
    command("query", "export", str(tmp_path / "none.csv"), "--merchant", other, "--from", "2026-01-01")
    assert (tmp_path / "none.csv").read_text().splitlines() == [",".join(search.RecordLine.__dataclass_fields__)]
    listed = json.loads(command("operator", "audit", "list", "--json").stdout)["audit"]
    assert [(row["action"], row["object_id"]) for row in listed] == [
        ("read.export", other),
        ("read.export", merchant),
        ("read.export", "all"),
    ]


def test_migrating_includes_the_database_of_payment_records(
    command: Run, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUTONG_QUERY_DATABASE_URL", create_database(server_url))
    applied = json.loads(command("migrate", "--json").stdout)["applied"]
    assert [name for name in applied if name.startswith("search-0001")] == ["search-0001.bills (payment records)"]
    assert json.loads(command("migrate", "--json").stdout)["applied"] == []


def test_an_unavailable_database_of_payment_records_stops_nothing_and_is_found_by_the_doctor(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUTONG_QUERY_DATABASE_URL", DOWN)
    prepared = command("prepare")
    assert prepared.returncode == 0
    assert "the database of payment records is unavailable" in prepared.stderr
    done = command("doctor", "--json")
    findings = {one["name"]: one["ok"] for one in json.loads(done.stdout)["findings"]}
    assert (done.returncode, findings["payment records"], findings["server"]) == (1, False, True)
    assert "sesame" not in prepared.stderr + done.stdout


def test_an_export_into_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["query", "export", str(tmp_path / "absent" / "records.csv")])
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr
