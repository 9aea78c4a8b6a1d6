"""The head of the books' chain outside of the database, and `hutong ledger verify` with it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr
from standardwebhooks import Webhook
from typer.testing import CliRunner

from hutong import app, config, ledger
from hutong.app import heads
from hutong.app.heads import keep_head
from hutong.cli.main import app as command_line
from hutong.clock import ManualClock, SystemClock
from hutong.errors import ConfigurationError, InvalidParameter, Unavailable
from hutong.ledger import Account, Transfer
from support.fixtures.ledger import LedgerClient

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Notary:
    """A receiver of heads that checks their signatures."""

    def __init__(self):
        self.heads, self.status = [], 200

    async def take(self, request):
        body = await request.text()
        Webhook(SECRET).verify(body, dict(request.headers))
        self.heads.append((request.headers["webhook-id"], json.loads(body)))
        return web.Response(status=self.status)


@pytest.fixture
async def notary():
    receiver = Notary()
    application = web.Application()
    application.router.add_post("/heads", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/heads"
    yield receiver
    await runner.cleanup()


async def open_books(database):
    lg = LedgerClient(database.run)
    await lg.create_accounts([Account(n, ledger=156, code=1101) for n in (1, 2)])
    return lg


async def test_a_head_without_room_is_written_whole_by_a_later_round(tmp_path, monkeypatch):
    file = tmp_path / "heads.jsonl"
    heads._append(file, json.dumps({"hash": "aa"}))
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))  # as on a disk that is full
    with pytest.raises(OSError, match="No space left"):
        heads._append(file, json.dumps({"hash": "bb"}))
    monkeypatch.undo()
    assert heads.read_heads(file) == ["aa"]
    heads._append(file, json.dumps({"hash": "bb"}))
    assert heads.read_heads(file) == ["aa", "bb"]


async def book(lg, platform):
    await lg.create_transfers([Transfer(ledger.id(), 1, 2, 5, ledger=156, code=10)])
    for _ in range(100):  # transactions of other tests on this server may hold the seal back
        if await platform.database.run(lambda tx: ledger.seal(tx, now=SystemClock().now())):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was sealed")


async def test_each_new_head_is_kept_in_the_file_once_the_address_has_taken_it(fresh_database_url, tmp_path, notary):
    settings = config.Settings(
        home=tmp_path / "home", database_url=SecretStr(fresh_database_url), ledger_head_url=notary.url,
        ledger_head_secret=SecretStr(SECRET), secret_key=SecretStr(base64.b64encode(bytes(32)).decode()),
    )  # fmt: skip
    clock = ManualClock(SystemClock().now())
    async with app.open_platform(settings, clock=clock) as platform:
        await keep_head(platform)
        file = app.heads_file(settings)
        assert not file.exists()  # there is no seal yet
        lg = await open_books(platform.database)
        await book(lg, platform)
        notary.status = 503
        with pytest.raises(Unavailable, match="HTTP 503"):
            await keep_head(platform)
        assert not file.exists()
        notary.status = 200
        for _ in range(2):
            await keep_head(platform)
        await book(lg, platform)
        clock.advance(timedelta(seconds=1))
        await keep_head(platform)
        head = await platform.database.run(ledger.chain_head)
        kept = app.read_heads(file)
        assert (len(kept), kept[-1]) == (2, head.hash)
        assert [name for name, _ in notary.heads] == [f"head_{head.seq - 1}"] * 2 + [f"head_{head.seq}"]
        assert notary.heads[-1][1]["hash"] == head.hash


def verify(*arguments):
    result = CliRunner().invoke(command_line, ["ledger", "verify", *arguments])
    return result.exit_code, result.stdout


@pytest.fixture
def installation(fresh_database_url, tmp_path, monkeypatch):
    """An installation with two seals, each of whose heads was kept; returns the file of heads."""
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path))
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("HUTONG_SECRET_KEY", base64.b64encode(bytes(32)).decode())
    settings = config.load()

    async def write():
        async with app.open_platform(settings) as platform:
            lg = await open_books(platform.database)
            for _ in range(2):
                await book(lg, platform)
                await keep_head(platform)

    asyncio.run(write())
    return app.heads_file(settings)


def test_the_command_reads_what_came_after_a_head_and_names_a_chain_without_it(installation, fresh_database_url):
    first, last = app.read_heads(installation)
    status, output = verify("--json")
    whole = json.loads(output)
    assert (status, whole["rows"], whole["head"], whole["problems"]) == (0, 2, last, [])
    assert json.loads(verify("--since", first, "--json")[1])["rows"] == 1
    assert json.loads(verify("--since", str(installation), "--json")[1])["rows"] == 0

    async def start_again():
        connection = await asyncpg.connect(fresh_database_url)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("DELETE FROM ledger.seal")
        await connection.close()

    asyncio.run(start_again())
    status, output = verify()
    assert status == 1
    assert {f"head {head}: the chain does not contain it" for head in (first, last)} <= set(output.splitlines())
    status, output = verify("--json")
    problems = json.loads(output)["problems"]
    assert status == 1
    assert {(problem["kind"], problem["subject"]) for problem in problems} == {
        ("seals", f"head {first}"), ("seals", f"head {last}"),
    }  # fmt: skip


def test_a_head_that_is_none_is_refused(installation, tmp_path):
    assert verify("--since", "abc")[0] == 2
    (tmp_path / "empty").write_text("")
    assert verify("--since", str(tmp_path / "empty"))[0] == 2
    installation.write_text("not a head\n")
    assert verify()[0] == 2
    with pytest.raises(InvalidParameter, match="line 1 of the file is not a head"):
        app.read_heads(installation)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [({"HUTONG_LEDGER_HEAD_URL": "https://example.org"}, "needs HUTONG_LEDGER_HEAD_SECRET"),
     ({"HUTONG_LEDGER_HEAD_URL": "ftp://example.org", "HUTONG_LEDGER_HEAD_SECRET": SECRET}, "must begin with https"),
     ({"HUTONG_LEDGER_HEAD_SECRET": "short"}, "must be whsec_")],
)  # fmt: skip
def test_an_address_for_heads_needs_a_secret(monkeypatch, variables, reason):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=reason):
        config.load()
