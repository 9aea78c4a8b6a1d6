"""What WeChat Pay refuses is told by the status of its answer too."""

from __future__ import annotations

import pytest

from hutong.channels import ChannelState
from support.channel_rigs import Rig


@pytest.mark.parametrize("status", [200, 202, 204, 302])
@pytest.mark.parametrize("rig", ["wechat"], indirect=True)
async def test_a_refusal_that_is_not_an_error_by_its_status_is_unknown(rig: Rig, status: int, now) -> None:
    request = rig.request(now)
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), status=status, code=rig.refusal[1])
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.UNKNOWN
