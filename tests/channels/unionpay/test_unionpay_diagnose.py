"""What is wrong with a UnionPay account is named exactly, and no account is stored that cannot work."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from hutong.channels import Http
from hutong.channels.unionpay.credentials import UnionPayCredentials
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from support.channel_rigs import Rig


@pytest.fixture(scope="module")
def own(sandbox_folder: Path) -> UnionPaySandboxKeys:
    return UnionPaySandboxKeys.load(sandbox_folder / "unionpay")


@pytest.fixture(scope="module")
def others(other_folder: Path) -> UnionPaySandboxKeys:
    return UnionPaySandboxKeys.load(other_folder / "unionpay")


async def faults(rig: Rig, now, **changed: Any) -> dict[str, str]:
    channel = rig.make(**changed)
    return {finding.check: finding.fault for finding in await channel.diagnose(now=now) if finding.fault is not None}


@pytest.fixture
async def somebody() -> AsyncIterator[dict[str, Any]]:
    """A server that is not UnionPay, told what to answer."""
    results: dict[str, Any] = {"body": b"<html>", "headers": {}, "url": ""}

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=results["body"], headers=results["headers"])

    app = web.Application()
    app.router.add_post("/gateway/api/queryTrans.do", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    results["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield results
    await runner.cleanup()


pytestmark = pytest.mark.parametrize("rig", ["unionpay"], indirect=True)


async def test_an_account_that_works_has_no_fault(rig: Rig, now) -> None:
    findings = await rig.channel.diagnose(now=now)
    assert [finding.fault for finding in findings] == [None] * len(findings)
    assert {"merchant_certificate", "gateway", "platform_certificate", "merchant_key"} <= {
        finding.check for finding in findings
    }


async def test_an_unreachable_host_is_named(rig: Rig, now) -> None:
    assert await faults(rig, now, base_url="http://127.0.0.1:1") == {"gateway": "unreachable"}


async def test_a_host_that_does_not_answer_is_named(rig: Rig, now) -> None:
    await rig.control.post("faults", latency_ms=2000)
    async with Http.open(total_timeout_s=0.2) as hasty:
        assert await faults(rig, now, http=hasty) == {"gateway": "no_answer"}


async def test_a_certificate_that_unionpay_does_not_know_is_named(rig: Rig, now, others) -> None:
    pair = {
        "merchant_private_key": others.merchant.key_pem,
        "merchant_certificate": others.merchant.certificate_pem,
    }
    assert await faults(rig, now, **pair) == {"merchant_key": "wrong_key"}


async def test_an_authority_that_is_not_unionpays_is_named(rig: Rig, now, others) -> None:
    authority = {
        "root_certificates": others.root.certificate_pem,
        "middle_certificates": others.middle.certificate_pem,
    }
    assert await faults(rig, now, **authority) == {"platform_certificate": "unknown_signer"}


async def test_a_middle_certificate_of_another_root_is_named(rig: Rig, now, others) -> None:
    found = await faults(rig, now, root_certificates=others.root.certificate_pem)
    assert found == {"middle_certificate": "not_issued_by_root", "platform_certificate": "unknown_signer"}


async def test_another_signer_is_named(rig: Rig, now) -> None:
    assert await faults(rig, now, signer_name="00040000:SIGN") == {"platform_certificate": "unknown_signer"}


@pytest.mark.parametrize(("years", "fault"), [(30, "certificate_expired"), (-20, "certificate_not_yet_valid")])
async def test_a_certificate_out_of_its_time_is_named(rig: Rig, now, years: int, fault: str) -> None:
    found = await faults(rig, now + timedelta(days=365 * years))
    assert found["merchant_certificate"] == fault
    assert found["root_certificate"] == fault


async def test_a_certificate_that_ends_soon_is_named(rig: Rig, own) -> None:
    end = own.merchant.certificate.not_valid_after_utc
    found = await faults(rig, end - timedelta(days=10))
    assert found["merchant_certificate"] == "certificate_expires_soon"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"respMsg=\xb3\xc9\xb9\xa6", "wrong_charset"),
        (b"<html>", "unreadable_answer"),
        (b"respCode=00", "unsigned_answer"),
    ],
)
async def test_something_else_than_unionpay_is_named(rig: Rig, now, somebody, body: bytes, fault: str) -> None:
    somebody["body"] = body
    assert await faults(rig, now, base_url=somebody["url"]) == {"platform_certificate": fault}


@pytest.mark.parametrize(
    ("code", "check", "fault"),
    [("10", "charset", "format_refused"), ("31", "merchant", "merchant_inactive"), ("32", "merchant", "not_permitted")],
)
async def test_a_refusal_is_named(rig: Rig, now, code: str, check: str, fault: str) -> None:
    await rig.next("query", "error", code=code)
    assert await faults(rig, now) == {check: fault}


@pytest.mark.parametrize("kind", ["stale", "bad_signature"])
async def test_an_answer_signed_wrongly_is_named(rig: Rig, now, kind: str) -> None:
    await rig.next("query", kind)
    named = {"stale": "certificate_expired", "bad_signature": "bad_signature"}
    assert await faults(rig, now) == {"platform_certificate": named[kind]}


def wrong(own: UnionPaySandboxKeys, *, pfx: bool = False, sandbox: bool = True, **changed: object) -> str:
    raw = own.credentials("https://gateway.example", pfx=pfx) | changed
    with pytest.raises(ValidationError) as caught:
        UnionPayCredentials.model_validate(raw, context={"sandbox": sandbox})
    return str(caught.value)


def test_a_key_of_another_certificate_is_refused(rig, own, others) -> None:
    assert "not that of" in wrong(own, merchant_private_key=others.merchant.key_pem)


def test_one_form_of_the_key_is_needed(rig, own) -> None:
    for changed in (
        {"merchant_private_key": None},
        {"merchant_certificate": None},
        {"merchant_pfx": "", "merchant_pfx_password": "x"},
    ):
        assert "either" in wrong(own, **changed)


@pytest.mark.parametrize(
    "changed", [{"merchant_pfx_password": "wrong"}, {"merchant_pfx": "AAAA"}, {"merchant_pfx": "?"}]
)
def test_a_file_that_does_not_open_is_refused_without_showing_it(rig, own, changed) -> None:
    text = wrong(own, pfx=True, **changed)
    assert "PKCS#12" in text
    assert "wrong" not in text.lower().replace("the wrong", "")


@pytest.mark.parametrize(
    "changed",
    [
        {"mer_id": "1"},
        {"root_certificates": ""},
        {"middle_certificates": "x"},
        {"base_url": "https://gateway.example/gateway"},
        {"base_url": "ftp://gateway.example"},
        {"file_url": "https://gateway.example/?x=1"},
        {"term_id": "1"},
        {"bill": {"cut_hour": 0}},
        {"bill": {"encoding": "utf-16"}},
        {"bill": {"kinds": {"01": "gift"}}},
        {"unknown": "1"},
    ],
)
def test_what_cannot_be_is_refused(rig, own, changed) -> None:
    wrong(own, **changed)


def test_a_live_account_speaks_https_only(rig, own) -> None:
    for changed in ({"base_url": "http://gateway.example"}, {"file_url": "http://gateway.example/"}):
        wrong(own, sandbox=False, **changed)


def test_no_secret_shows(rig, own) -> None:
    for pfx in (False, True):
        raw = own.credentials("https://gateway.example", pfx=pfx)
        shown = repr(UnionPayCredentials.model_validate(raw)) + repr(rig.channel)
        secrets = [
            raw[name] for name in ("merchant_private_key", "merchant_pfx", "merchant_pfx_password") if name in raw
        ]
        assert secrets
        assert not any(str(secret) in shown for secret in secrets)
        assert base64.b64encode(own.merchant.key_pem.encode()).decode() not in shown
