"""`diagnose_account` names the exact fault: what cannot be read, a host out of reach, a certificate, a clock."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hutong.channels import Http
from hutong.channels.accounts import create_account, diagnose_account
from hutong.channels.accounts.diagnostics import CLOCK_LIMIT, check_host
from hutong.channels.wechat.adapter import WeChatPay
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import NotFound
from hutong.ids import Ids
from hutong.sandbox.wechat.keys import WeChatSandboxKeys
from hutong.vault import Vault

VAULT = Vault([b"k" * 32])
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def host(date: str | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A host that answers everything with 404, and says that it is `date`."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=404, headers={} if date is None else {"Date": date})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate that nobody has signed but its owner."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "own.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


@pytest.fixture
def account(database: Database, ids: Ids, clock: ManualClock, tmp_path: Path) -> Callable[..., Any]:
    """Makes an account at WeChat Pay that points to an address."""
    keys = WeChatSandboxKeys.load(tmp_path)

    async def make(url: str, vault: Vault = VAULT) -> UUID:
        account_id = ids.new()
        async with database.transaction() as tx:
            await create_account(
                tx, vault, account_id=account_id, channel="wechat", name=f"a {account_id}", sandbox=True,
                credentials=keys.credentials(url), now=clock.now(),
            )  # fmt: skip
        return account_id

    return make


async def faults(http: Http, url: str, now: datetime = NOW) -> dict[str, str | None]:
    return {finding.check: finding.fault for finding in await check_host(http, url, ManualClock(now))}


async def test_a_host_that_answers_is_well(http: Http) -> None:
    async with host(format_datetime(NOW, usegmt=True)) as url:
        assert await faults(http, url) == {"host": None, "clock": None}


@pytest.mark.parametrize("seconds", [31, -31, 86_400])
async def test_a_clock_that_is_off_is_named_with_its_direction(http: Http, seconds: int) -> None:
    async with host(format_datetime(NOW, usegmt=True)) as url:
        findings = await check_host(http, url, ManualClock(NOW + timedelta(seconds=seconds)))
    assert findings[1].fault == "clock_skew"
    assert f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'}" in findings[1].advice


@pytest.mark.parametrize("seconds", [CLOCK_LIMIT.total_seconds(), -CLOCK_LIMIT.total_seconds()])
async def test_a_clock_within_the_limit_is_well(http: Http, seconds: float) -> None:
    async with host(format_datetime(NOW, usegmt=True)) as url:
        assert (await faults(http, url, NOW + timedelta(seconds=seconds)))["clock"] is None


@pytest.mark.parametrize("date", ["", "tomorrow", "Thu, 01 Jan 2026 12:00:00", "99999"])
async def test_a_host_that_does_not_tell_its_time_is_no_fault(http: Http, date: str) -> None:
    async with host(date) as url:
        assert await faults(http, url) == {"host": None, "clock": None}


async def test_hosts_out_of_reach_are_distinguished(http: Http, tmp_path: Path) -> None:
    assert await faults(http, "http://127.0.0.1:1/") == {"host": "connection_refused"}
    assert await faults(http, "http://no-such-host.invalid/") == {"host": "host_not_found"}
    async with host(tls=own_certificate(tmp_path)) as url:
        assert await faults(http, url) == {"host": "certificate_not_trusted"}
        assert await faults(http, url.replace("https", "http")) == {"host": "no_answer"}
    async with host() as url:
        assert await faults(http, url.replace("http", "https")) == {"host": "tls_failed"}


async def test_an_account_out_of_reach_is_not_asked_further(
    database: Database, http: Http, clock: ManualClock, account: Callable[..., Any]
) -> None:
    account_id = await account("http://127.0.0.1:1")
    found = await diagnose_account(database, VAULT, http, clock, account_id)
    assert [(finding.check, finding.fault) for finding in found] == [
        ("credentials", None),
        ("host", "connection_refused"),
    ]


async def test_the_adapters_own_findings_are_reported_too(
    database: Database, http: Http, clock: ManualClock, account: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hutong.channels import AccountFinding

    async def diagnose(self: WeChatPay, *, now: datetime) -> list[AccountFinding]:
        return [AccountFinding("merchant_key", "wrong_serial", f"asked at {now:%Y}")]

    monkeypatch.setattr(WeChatPay, "diagnose", diagnose)
    async with host(format_datetime(clock.now(), usegmt=True)) as url:
        found = await diagnose_account(database, VAULT, http, clock, await account(url))
    assert [finding.fault for finding in found] == [None, None, None, "wrong_serial"]


async def test_credentials_under_another_key_are_named(
    database: Database, http: Http, clock: ManualClock, account: Callable[..., Any]
) -> None:
    account_id = await account("http://127.0.0.1:1", Vault([b"o" * 32]))
    (found,) = await diagnose_account(database, VAULT, http, clock, account_id)
    assert found.fault == "cannot_be_decrypted"
    assert "HUTONG_SECRET_KEY" in found.advice


async def test_an_account_that_there_is_not_is_not_found(
    database: Database, http: Http, clock: ManualClock, ids: Ids
) -> None:
    with pytest.raises(NotFound):
        await diagnose_account(database, VAULT, http, clock, ids.new())
