"""WeChat Pay's transfers: whom they name, and that only WeChat reads the name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from hutong.channels import NOT_SENT, ChannelState, PayoutRequest
from hutong.errors import InvalidParameter
from hutong.sandbox.wechat.keys import APPID, OPENIDS
from support.channel_rigs import Rig, number

pytestmark = pytest.mark.parametrize("rig", ["wechat"], indirect=True)
NAME = "阿卜杜拉·张三"


def transfer(amount_minor: int, name: str | None = NAME) -> PayoutRequest:
    payee = {"openid": OPENIDS[APPID]} | ({} if name is None else {"name": name})
    return PayoutRequest(number("pyo"), amount_minor, "CNY", payee, "prize", "http://127.0.0.1:1/notify")


async def taken(rig: Rig, sent: PayoutRequest) -> list[dict[str, Any]]:
    """The transfers that WeChat has taken under this number."""
    every = (await rig.control.get("payouts"))["payouts"]
    return [one for one in every if one["payout_no"] == rig.theirs(sent.payout_no)]


@pytest.mark.parametrize("public_key_mode", [True, False])
@pytest.mark.parametrize(
    ("amount_minor", "name", "named"),
    [
        (29, NAME, None),
        (30, NAME, NAME),
        (30, None, None),
        (199_999, None, None),
        (199_999, f" {NAME} ", NAME),
        (200_000, NAME, NAME),
        (2**31 - 1, NAME, NAME),
    ],
)
async def test_a_name_is_sent_where_wechat_takes_one_and_only_wechat_reads_it(
    rig: Rig, make_channel, public_key_mode: bool, amount_minor: int, name, named, now, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, bodies = make_channel(public_key_mode=public_key_mode), []
    call = channel._client._http.call

    async def noted(method: str, url: str, **options: Any) -> Any:
        bodies.append(options["body"])
        return await call(method, url, **options)

    monkeypatch.setattr(channel._client._http, "call", noted)
    await rig.control.post("faults", money_out_ms=None)
    sent = transfer(amount_minor, name)
    for _ in range(2):  # the second time under another ciphertext
        assert (await channel.payout(sent, now=now)).state is ChannelState.PENDING
    (one,) = await taken(rig, sent)
    assert (one["amount_minor"], one["payee"].get("name")) == (amount_minor, named)
    sealed = [orjson.loads(body).get("user_name") for body in bodies]
    assert len(set(sealed)) == (1 if named is None else 2)
    assert NAME.encode() not in b"".join(bodies)


@pytest.mark.parametrize(
    ("amount_minor", "name", "param"),
    [
        (200_000, None, "payee.name"),
        (200_000, " ", "payee.name"),
        (200_000, "张" * 72, "payee.name"),
        (100, "张\n三", "payee.name"),
        (0, NAME, "amount_minor"),
        (-1, NAME, "amount_minor"),
        (2**31, NAME, "amount_minor"),
    ],
)
async def test_what_wechat_could_not_take_is_refused_before_it_is_sent(
    rig: Rig, amount_minor: int, name, param: str, now
) -> None:
    rig.channel = rig.make(**rig.no_base_url)
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.payout(transfer(amount_minor, name), now=now)
    assert caught.value.param == param


async def test_a_name_of_71_characters_is_as_much_as_can_be_encrypted(rig: Rig, now) -> None:
    sent = transfer(200_000, "张" * 71)
    assert (await rig.channel.payout(sent, now=now)).state is ChannelState.PENDING
    assert [one["payee"]["name"] for one in await taken(rig, sent)] == ["张" * 71]


async def test_a_name_is_not_sent_without_a_valid_key_of_wechats(rig: Rig, make_channel, keys, now) -> None:
    channel = make_channel(public_key_mode=False)
    late = keys.platform.not_after + timedelta(days=1)
    answer = await channel.payout(transfer(200_000), now=late)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, NOT_SENT)


async def test_a_name_under_a_key_that_wechat_does_not_have_is_refused(rig: Rig, other_keys, make_channel, now) -> None:
    """The transfer is refused, and a query finds none."""
    other = {f"PUB_KEY_ID_{'9' * 40}": other_keys.public.public_pem}
    held = dict(rig.channel._credentials.platform_keys)
    channel = make_channel(
        platform_keys=other | {serial: held[serial] for serial in held if not serial.startswith("P")}
    )
    sent = transfer(200_000)
    answer = await channel.payout(sent, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.FAILED, "PARAM_ERROR")
    assert await taken(rig, sent) == []
