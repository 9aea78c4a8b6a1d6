"""Credentials are checked field by field, and no secret is ever shown."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from hutong.channels import Accounts, ChannelUnreachable, NotificationRefused, OrderReference
from hutong.channels.accounts import create_account, replace_credentials
from hutong.channels.registry import read_credentials
from hutong.channels.wechat.adapter import WeChatPay
from hutong.errors import CredentialsUnreadable, InvalidParameter
from hutong.telemetry import configure_logging
from hutong.vault import Vault


def pem(key: Any, *, password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def check(credentials: dict[str, Any], *, sandbox: bool = True) -> Any:
    return read_credentials("wechat", credentials, sandbox=sandbox)


SECRET = "S3CRET-S3CRET-S3CRET-S3CRET-S3CRET"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mchid", SECRET),
        ("mchid", ""),
        ("appid", SECRET + "!"),
        ("appid", None),
        ("merchant_serial", SECRET),
        ("merchant_private_key", SECRET),
        ("merchant_private_key", 7),
        ("api_v3_key", SECRET),
        ("api_v3_key", SECRET[:31]),
        ("platform_keys", {}),
        ("platform_keys", {"PUB_KEY_ID_1": SECRET}),
        ("platform_keys", {"4F": SECRET}),
        ("platform_keys", SECRET),
        ("base_url", SECRET),
        ("base_url", "ftp://" + SECRET),
        ("base_url", "https://user@" + SECRET),
        ("base_url", "https://host/" + SECRET),
        ("unheard_of", SECRET),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(keys, field: str, value: Any) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check(keys.credentials("http://127.0.0.1:1") | {field: value})
    assert (caught.value.param or "").startswith(f"credentials.{field}")
    assert "S3CRET" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("field", ["mchid", "appid", "merchant_serial", "merchant_private_key", "api_v3_key"])
def test_a_missing_field_is_named(keys, field: str) -> None:
    credentials = keys.credentials("http://127.0.0.1:1")
    del credentials[field]
    with pytest.raises(InvalidParameter) as caught:
        check(credentials)
    assert caught.value.param == f"credentials.{field}"


def test_a_real_account_is_called_over_tls_only(keys) -> None:
    addresses = dict.fromkeys(("base_url", "app_url", "open_url"), "https://channel.example")
    credentials = keys.credentials("http://127.0.0.1:1") | addresses
    assert check(credentials, sandbox=False)
    for field in addresses:
        with pytest.raises(InvalidParameter) as caught:
            check(credentials | {field: "http://127.0.0.1:1"}, sandbox=False)
        assert caught.value.param == f"credentials.{field}"


@pytest.mark.parametrize(
    "key",
    [
        pem(rsa.generate_private_key(65537, 1024)),
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(65537, 2048), password=b"locked"),
    ],
    ids=["short", "elliptic", "encrypted"],
)
def test_a_key_that_cannot_sign_for_wechat_is_refused(keys, key: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check(keys.credentials("http://127.0.0.1:1") | {"merchant_private_key": key})
    assert caught.value.param == "credentials.merchant_private_key"


def test_a_serial_must_name_its_own_certificate(keys, other_keys) -> None:
    wrong = {keys.platform.serial: other_keys.platform.certificate_pem}
    with pytest.raises(InvalidParameter) as caught:
        check(keys.credentials("http://127.0.0.1:1") | {"platform_keys": wrong})
    assert caught.value.param == "credentials.platform_keys"


def test_the_merchants_own_certificate_is_not_the_platforms(keys) -> None:
    wrong = {keys.merchant.serial: keys.merchant.certificate_pem}
    with pytest.raises(InvalidParameter, match="platform_keys"):
        check(keys.credentials("http://127.0.0.1:1") | {"platform_keys": wrong})


@pytest.fixture
def world(database, http, clock, ids) -> tuple[Any, ...]:
    return database, http, clock, ids


async def test_no_secret_reaches_logs_errors_or_representations(keys, world, capfd, make_channel) -> None:
    database, http, clock, ids = world
    configure_logging(level="debug")
    credentials = keys.credentials("http://127.0.0.1:1")
    secrets = [keys.api_v3_key, *keys.merchant.key_pem.splitlines()[1:-1]]
    shown: list[object] = []

    account_id = ids.new()
    async with database.transaction() as tx:
        await create_account(
            tx,
            Vault([b"a" * 32]),
            account_id=account_id,
            channel="wechat",
            name=str(account_id),
            sandbox=True,
            credentials=credentials,
            now=clock.now(),
        )
        with pytest.raises(InvalidParameter) as refused:
            await replace_credentials(
                tx,
                Vault([b"a" * 32]),
                account_id=account_id,
                credentials=credentials | {"mchid": "x"},
                now=clock.now(),
            )
        shown.append(refused.value)
    with pytest.raises(CredentialsUnreadable) as unusable:
        await Accounts(database, Vault([b"b" * 32]), http, clock).get(account_id)
    shown.append(unusable.value)

    channel: WeChatPay = make_channel(base_url="http://127.0.0.1:1")
    shown += [channel, vars(channel), vars(channel._keys), check(credentials), check(credentials).model_dump_json()]
    shown.append(
        await channel.query(
            OrderReference("att_01h2xcejqtf2nbrexx3vqjhp41", "wechat_native", 1, "CNY", clock.now()), now=clock.now()
        )
    )
    with pytest.raises(NotificationRefused) as forged:
        channel.parse_notification({}, b"{}", now=clock.now())
    shown.append(forged.value)
    shown.append(ChannelUnreachable("no answer", sent=True))

    captured = capfd.readouterr()
    assert "credentials_unreadable" in captured.err
    everything = captured.out + captured.err + "".join(f"{thing!r}{thing}" for thing in shown)
    assert not [secret for secret in secrets if secret in everything]
