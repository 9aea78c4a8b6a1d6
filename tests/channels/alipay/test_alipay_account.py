"""Alipay accounts: credentials are checked field by field, no secret is shown, and a fault is named for what it is."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509 import CertificateBuilder, Name, NameAttribute, random_serial_number
from cryptography.x509.oid import NameOID

from hutong.channels import Http, NotificationRefused
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.alipay.client import _members
from hutong.channels.alipay.credentials import AlipayKeys, certificates, sn
from hutong.channels.codes.coverage import coverage
from hutong.channels.errors import NotAuthentic
from hutong.channels.registry import read_credentials
from hutong.errors import InvalidParameter
from hutong.sandbox.alipay.keys import AlipaySandboxKeys
from support.fixtures.alipay import AlipayWorld, alipay_world

SECRET = "S3CRET-S3CRET-S3CRET-S3CRET-S3CRET"


@pytest.fixture(scope="session")
def alipay_keys(sandbox_folder: Path) -> AlipaySandboxKeys:
    return AlipaySandboxKeys.load(sandbox_folder / "alipay")


@pytest.fixture
async def world(sandbox_folder: Path, http: Http) -> AsyncIterator[AlipayWorld]:
    async with alipay_world(sandbox_folder / "alipay", http) as made:
        yield made


def pem(key: Any, *, password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def check(credentials: dict[str, Any], *, sandbox: bool = True) -> Any:
    return read_credentials("alipay", credentials, sandbox=sandbox)


def test_the_codes_that_alipay_documents_are_mapped() -> None:
    measured = coverage()["alipay"]
    assert measured.documented > 300
    assert measured.ratio is not None
    assert measured.ratio >= 0.95


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("app_id", SECRET),
        ("app_id", ""),
        ("seller_id", SECRET),
        ("seller_id", "2089102146225135"),
        ("app_private_key", SECRET),
        ("app_private_key", 7),
        ("alipay_public_keys", [SECRET]),
        ("alipay_public_keys", SECRET),
        ("app_certificate", SECRET),
        ("alipay_root_certificates", SECRET),
        ("base_url", SECRET),
        ("base_url", "ftp://" + SECRET),
        ("base_url", "https://host/" + SECRET),
        ("unheard_of", SECRET),
    ],
)
@pytest.mark.parametrize("certificate_mode", [False, True])
def test_a_wrong_field_is_named_and_its_value_is_not(alipay_keys, certificate_mode: bool, field: str, value) -> None:
    credentials = alipay_keys.credentials("http://127.0.0.1:1", certificate_mode=certificate_mode)
    with pytest.raises(InvalidParameter) as caught:
        check(credentials | {field: value})
    assert (caught.value.param or "").startswith(f"credentials.{field}")
    assert "S3CRET" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_keys_are_taken_as_alipays_own_tool_writes_them(alipay_keys) -> None:
    credentials = alipay_keys.credentials("http://127.0.0.1:1")
    bare = alipay_keys.application.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = alipay_keys.public.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    written = {
        "app_private_key": base64.b64encode(bare).decode(),
        "alipay_public_keys": [base64.b64encode(public).decode()],
    }
    assert check(credentials | written)


def test_a_real_account_is_called_over_tls_only(alipay_keys) -> None:
    credentials = alipay_keys.credentials("http://127.0.0.1:1")
    with pytest.raises(InvalidParameter, match="https"):
        check(credentials, sandbox=False)
    assert check(credentials | {"base_url": "https://openapi.alipay.com"}, sandbox=False)


@pytest.mark.parametrize(
    "key",
    [
        pem(rsa.generate_private_key(65537, 1024)),
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(65537, 2048), password=b"locked"),
    ],
    ids=["short", "elliptic", "encrypted"],
)
def test_a_key_that_cannot_sign_for_alipay_is_refused(alipay_keys, key: str) -> None:
    with pytest.raises(InvalidParameter, match="app_private_key"):
        check(alipay_keys.credentials("http://127.0.0.1:1") | {"app_private_key": key})


def test_keys_and_certificates_must_fit_together(alipay_keys) -> None:
    plain = alipay_keys.credentials("http://127.0.0.1:1")
    certified = alipay_keys.credentials("http://127.0.0.1:1", certificate_mode=True)
    for wrong, why in (
        (plain | {"alipay_public_keys": []}, "needs alipay_public_keys"),
        (plain | {"alipay_public_keys": [alipay_keys.application.public_pem]}, "own key"),
        (certified | {"alipay_root_certificates": None}, "certificate mode needs"),
        (certified | {"app_certificate": alipay_keys.other_merchant.certificate_pem}, "not the certificate of"),
        (certified | {"alipay_certificates": [alipay_keys.chain(alipay_keys.application)]}, "own certificate"),
        (certified | {"alipay_certificates": [alipay_keys.platform.certificate_pem]}, "chain to Alipay's root"),
        (certified | {"alipay_root_certificates": alipay_keys.platform.certificate_pem}, "chain to Alipay's root"),
    ):
        with pytest.raises(InvalidParameter, match=why):
            check(wrong)


TEST_AUTHORITY = "Ant Financial Certification Authority Class 2 R1 test"
TEST_HOST = "https://openapi-sandbox.dl.alipaydev.com"


def issued_by(common_name: str, organization: str) -> tuple[str, rsa.RSAPrivateKey]:
    """A certificate of the form that Alipay's sandbox gives out: its issuer is nowhere, it has no constraints."""
    key, authority = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    names = [NameAttribute(NameOID.ORGANIZATION_NAME, organization), NameAttribute(NameOID.COMMON_NAME, "2088")]
    made = (
        CertificateBuilder()
        .subject_name(Name(names))
        .issuer_name(Name([NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2029, 1, 1, tzinfo=UTC))
        .sign(authority, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode(), key


def test_certificates_of_alipays_own_sandbox_are_taken_there_alone(alipay_keys) -> None:
    certificate, key = issued_by(TEST_AUTHORITY, "Example Store")
    real = alipay_keys.authority.certificate_pem  # the sandbox's file has an authority that did not issue it
    certified = alipay_keys.credentials(TEST_HOST, certificate_mode=True)
    for pem_file in (certificate, certificate + real):
        credentials = check(certified | {"alipay_certificates": [pem_file]}, sandbox=False)
        keys = AlipayKeys(credentials)
        (held,) = keys.alipay_certificates
        assert held.is_test
        signature = base64.b64encode(key.sign(b"{}", PKCS1v15(), SHA256())).decode()
        keys.verify(signature, b"{}", held.sn, now=datetime(2026, 6, 1, tzinfo=UTC))
        with pytest.raises(NotAuthentic):
            keys.verify(signature, b"[]", held.sn, now=datetime(2026, 6, 1, tzinfo=UTC))
        with pytest.raises(NotAuthentic):  # another one of this authority is not adopted, whoever names it
            another = issued_by(TEST_AUTHORITY, "Example Store")[0]
            keys.adopt_certificate(sn(certificates(another)[0]), another)
    with pytest.raises(InvalidParameter, match="sandbox"):
        check(certified | {"alipay_certificates": [certificate], "base_url": "https://openapi.alipay.com"})
    other = issued_by("Ant Financial Certification Authority Class 2 R1", "Example Store")[0]
    with pytest.raises(InvalidParameter, match="chain"):
        check(certified | {"alipay_certificates": [other]})


def test_a_certificate_that_no_authority_issued_chains_to_nothing(alipay_keys) -> None:
    certified = alipay_keys.credentials("http://127.0.0.1:1", certificate_mode=True)
    forged = alipay_keys.platform.certificate_pem + alipay_keys.other_merchant.certificate_pem
    with pytest.raises(InvalidParameter, match="chain"):
        check(certified | {"alipay_certificates": [forged]})


async def test_no_secret_reaches_errors_or_representations(world: AlipayWorld) -> None:
    keys = world.simulator.keys
    secrets = keys.application.key_pem.splitlines()[1:-1]
    channel = world.channel(certificate_mode=True)
    credentials = channel._credentials
    shown: list[object] = [channel, vars(channel), vars(channel._keys), credentials, credentials.model_dump_json()]
    shown += [vars(channel._client), await channel.pay(world.request(), now=world.clock.now())]
    shown += await channel.diagnose(now=world.clock.now())
    with pytest.raises(NotificationRefused) as forged:
        channel.parse_notification({}, b"sign=x", now=world.clock.now())
    shown.append(forged.value)
    everything = "".join(f"{thing!r}{thing}" for thing in shown)
    assert not [secret for secret in secrets if secret in everything]


# Diagnosis.


async def faults(channel: Alipay, world: AlipayWorld, **moved: Any) -> set[tuple[str, str]]:
    found = await channel.diagnose(now=moved.get("now", world.clock.now()))
    return {(one.check, one.fault) for one in found if one.fault is not None and one.check != "clock"}


@pytest.mark.parametrize("certificate_mode", [False, True])
async def test_a_sound_account_has_no_fault(world: AlipayWorld, certificate_mode: bool) -> None:
    channel = world.channel(certificate_mode=certificate_mode)
    assert await faults(channel, world) == set()
    assert world.simulator.store.orders == {}


async def test_another_accounts_seller_id_is_named_once_there_is_a_bill(world: AlipayWorld) -> None:
    other = world.channel(seller_id="2088000000000000")
    found = {one.check: one for one in await other.diagnose(now=world.clock.now())}
    assert found["seller_id"].fault is None
    assert "not tested" in found["seller_id"].advice
    await world.paid()
    world.clock.advance(timedelta(days=1))
    assert await faults(other, world) == {("seller_id", "seller_id_wrong")}
    assert await faults(world.channel(), world) == set()


async def test_the_exact_fault_is_named(world: AlipayWorld) -> None:
    keys, other = world.simulator.keys, pem(rsa.generate_private_key(65537, 2048))
    assert await faults(world.channel(app_private_key=other), world) == {("merchant_key", "merchant_key_mismatch")}
    assert await faults(world.channel(app_id="2021000000000000"), world) == {("app_id", "app_id_unknown")}
    wrong = world.channel(alipay_public_keys=[keys.platform.public_pem])
    assert await faults(wrong, world) == {("alipay_key", "alipay_key_mismatch")}
    nowhere = world.channel(base_url="http://127.0.0.1:1")
    assert await faults(nowhere, world) == {("host", "unreachable")}


async def test_a_certificate_that_is_not_alipays_any_more_is_named(world: AlipayWorld) -> None:
    keys = world.simulator.keys
    channel = world.channel(certificate_mode=True, alipay_certificates=[keys.chain(keys.other_merchant)])
    assert await faults(channel, world) == {("alipay_key", "alipay_certificate_unknown")}


async def test_certificates_that_have_expired_are_named(world: AlipayWorld) -> None:
    channel = world.channel(certificate_mode=True)
    then = world.simulator.keys.platform.not_after + timedelta(days=1)
    world.clock.advance(then - world.clock.now())
    found = await faults(channel, world)
    assert {("app_certificate", "certificate_expired"), ("alipay_certificate", "certificate_expired")} <= found


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("isv.missing-signature-config", "merchant_key_missing"),
        ("isv.insufficient-isv-permissions", "product_not_signed"),
        ("isv.invalid-charset", "charset"),
        ("isv.missing-app-cert-sn", "certificate_mode_required"),
        ("isv.app-cert-expired", "certificate_expired"),
        ("isv.something-new", "refused"),
    ],
)
async def test_what_alipay_complains_of_is_named(world: AlipayWorld, code: str, fault: str) -> None:
    await world.control("next", interface="query", kind="error", status=400, code=code)
    assert [name for _, name in await faults(world.channel(), world)] == [fault]


# Answers are taken apart without rebuilding them.


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{",
        '{"a":1',
        '{"a":1}}',
        '{"a":1} x',
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":2}}',
        '{"a" 1}',
        "{a:1}",
        '{"a":NaN}',
        '{"a":1 "b":2}',
        "{1:2}",
        "\ufeff{}",
    ],
)
def test_what_is_not_one_object_is_unreadable(document: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        _members(document)


def test_a_member_is_kept_as_it_is_written() -> None:
    document = ' { "x_response" : { "b":1 , "a": "\\u4e2d/\\/" } , "sign":"s" } '
    found = _members(document)
    assert found["x_response"] == ({"b": 1, "a": "中//"}, '{ "b":1 , "a": "\\u4e2d/\\/" }')
    assert found["sign"][0] == "s"
    assert _members("{}") == {}
