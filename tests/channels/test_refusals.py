"""A refusal concerns one submission: no adapter relies on one before a query has shown the outcome of the number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_contract_money import paid, payout, refund_of

from hutong import channels
from hutong.channels import NOT_SENT, ChannelAnswer, ChannelState, ChannelUnreachable, Http, HttpReply, confirm_refusal
from hutong.channels.errors import NoAnswer
from support.channel_rigs import Rig

FOLDER = Path(channels.__file__).parent
EXAMPLE = Path(__file__).parents[2] / "examples" / "add_a_channel" / "hutong_tealeaf" / "__init__.py"
_S = ChannelState
REFUSAL = ChannelAnswer(_S.FAILED, channel_code="NO_AUTH", code="merchant_not_permitted")
UNCLEAR = ChannelAnswer(_S.UNKNOWN, channel_code="ORDERPAID", code="already_paid")

OUTCOMES = {
    # The queried state, and the outcome of a refusal, of one where a pending submission counts, and of one that tells
    # only that the number was used.
    _S.SUCCEEDED: (_S.SUCCEEDED, _S.SUCCEEDED, _S.SUCCEEDED),
    _S.CLOSED: (_S.CLOSED, _S.CLOSED, _S.CLOSED),
    _S.FAILED: (_S.FAILED, _S.FAILED, _S.FAILED),
    _S.NOT_FOUND: (_S.FAILED, _S.FAILED, _S.UNKNOWN),
    _S.PENDING: (_S.UNKNOWN, _S.PENDING, _S.UNKNOWN),
    _S.AUTHORIZED: (_S.UNKNOWN, _S.UNKNOWN, _S.UNKNOWN),
    _S.UNKNOWN: (_S.UNKNOWN, _S.UNKNOWN, _S.UNKNOWN),
}


@pytest.mark.parametrize("queried", OUTCOMES)
async def test_the_query_decides_on_a_refusal(queried: ChannelState) -> None:
    async def query() -> ChannelAnswer:
        return ChannelAnswer(queried, channel_code="queried")

    outcomes = (
        await confirm_refusal(REFUSAL, query),
        await confirm_refusal(REFUSAL, query, pending=True),
        await confirm_refusal(UNCLEAR, query, inconclusive=True),
    )
    assert tuple(answer.state for answer in outcomes) == OUTCOMES[queried]
    for answer, refusal in zip(outcomes, (REFUSAL, REFUSAL, UNCLEAR), strict=True):
        # Without an outcome, the refusal's own code is kept for people.
        assert answer.channel_code == ("queried" if answer.state is queried is not _S.UNKNOWN else refusal.channel_code)


def test_every_state_has_its_outcome() -> None:
    assert set(OUTCOMES) == set(ChannelState)


async def test_a_query_without_an_answer_decides_nothing() -> None:
    async def query() -> ChannelAnswer:
        raise NoAnswer("no_answer")

    answer = await confirm_refusal(REFUSAL, query, pending=True)
    assert (answer.state, answer.channel_code) == (_S.UNKNOWN, "NO_AUTH")


@pytest.mark.parametrize("state", sorted(set(ChannelState) - {_S.FAILED}))
async def test_an_answer_that_is_no_refusal_costs_no_query(state: ChannelState) -> None:
    async def query() -> ChannelAnswer:
        raise AssertionError("no query is due")

    answer = ChannelAnswer(state)
    assert await confirm_refusal(answer, query) is answer


async def test_a_refused_refund_is_not_believed_while_an_earlier_submission_is_known(rig: Rig, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now)
    status, code = rig.refusal
    await rig.next("refund", "reply_lost", match=rig.theirs(refund.refund_no))
    assert (await rig.channel.refund(refund, now=now)).state is _S.UNKNOWN
    await rig.next("refund", "error", match=rig.theirs(refund.refund_no), status=status, code=code)
    assert (await rig.channel.refund(refund, now=now)).state in (_S.SUCCEEDED, _S.PENDING, _S.UNKNOWN)


async def test_a_refused_payout_is_not_believed_while_an_earlier_submission_is_known(rig: Rig, now) -> None:
    if not rig.channel.capabilities.payout_methods:
        return
    sent = payout(rig, now)
    status, code = rig.refusal
    await rig.next("payout", "reply_lost", match=rig.theirs(sent.payout_no))
    assert (await rig.channel.payout(sent, now=now)).state is _S.UNKNOWN
    await rig.next("payout", "error", match=rig.theirs(sent.payout_no), status=status, code=code)
    assert (await rig.channel.payout(sent, now=now)).state in (_S.SUCCEEDED, _S.PENDING, _S.UNKNOWN)


class CountingHttp(Http):
    """Counts calls, and has no connection from a number of them on."""

    def __init__(
        self, session: aiohttp.ClientSession, open_session: Callable[[], aiohttp.ClientSession], limit: int = 1000
    ) -> None:
        super().__init__(session, open_session)
        self.limit = limit
        self.calls = 0

    async def call(self, *args: Any, **options: Any) -> HttpReply:
        if self.calls == self.limit:
            raise ChannelUnreachable("no connection", sent=False)
        self.calls += 1
        return await super().call(*args, **options)


async def test_a_refused_refund_or_payout_is_not_believed_while_the_query_fails(rig: Rig, now) -> None:
    async def refused(http: CountingHttp, interface: str) -> ChannelAnswer:
        channel = rig.make(http=http)
        if interface == "refund":
            _, order = await paid(rig, now)
            refund = refund_of(order, now)
            await rig.next("refund", "error", match=rig.theirs(refund.refund_no), status=status, code=code)
            return await channel.refund(refund, now=now)
        sent = payout(rig, now)
        await rig.next("payout", "error", match=rig.theirs(sent.payout_no), status=status, code=code)
        return await channel.payout(sent, now=now)

    status, code = rig.refusal
    for interface in ("refund", "payout") if rig.channel.capabilities.payout_methods else ("refund",):
        async with Http.open() as opened:
            counting = CountingHttp(opened._session, opened._open_session)
            believed = await refused(counting, interface)
            if believed.state is not _S.FAILED:
                assert interface == "payout"
                continue  # this code of an order is none of a transfer's
            cut_off = CountingHttp(opened._session, opened._open_session, limit=counting.calls - 1)
            answer = await refused(cut_off, interface)
        assert answer.state is _S.UNKNOWN, (interface, believed)
        assert answer.channel_code != NOT_SENT


SUBMITTING = ("adapter.py", "refunds.py", "payouts.py")
FILES = [
    file for folder in FOLDER.glob("*/adapter.py") for file in folder.parent.glob("*.py") if file.name in SUBMITTING
]


@pytest.mark.parametrize("file", [*sorted(FILES), EXAMPLE], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_file_that_submits_confirms_refusals_by_the_one_rule(file: Path) -> None:
    assert "await confirm_refusal(" in file.read_text()
