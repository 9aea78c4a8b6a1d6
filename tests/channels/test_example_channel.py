"""The channel of docs/add-a-channel.md keeps the whole contract, and is found by its entry point alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_contract import *  # noqa: F403 - every rule, with the rig below

from hutong.channels import Codes, Http, NotificationRefused
from hutong.channels.codes.codes import load_codes
from support.channel_rigs import Control, Rig
from support.fakes.tealeaf import SECRET, SHOP, serve_tealeaf

EXAMPLE = Path(__file__).parents[2] / "examples" / "add_a_channel"
sys.path.insert(0, str(EXAMPLE))

from hutong_tealeaf import TealeafCredentials, TealeafPay  # noqa: E402

ACCOUNT = {"shop": SHOP, "secret": SECRET}


@pytest.fixture
async def rig(http: Http) -> AsyncIterator[Rig]:
    async with serve_tealeaf() as url, aiohttp.ClientSession() as session:
        default = http

        def make(*, http: Http | None = None, **changed: Any) -> TealeafPay:
            credentials = TealeafCredentials.model_validate({**ACCOUNT, "base_url": url, **changed})
            return TealeafPay(credentials, http or default, Codes(load_codes(TealeafPay.code_map)))

        yield Rig(
            channel=make(),
            make=make,
            control=Control(url, session, "tealeaf"),
            method="tealeaf_qr",
            currency="CNY",
            refusal=(400, "BAD_REQUEST"),
            absent=(404, "NO_SUCH_ORDER"),
            stranger={"secret": "another secret, of thirty-two too"},
            notice_window=timedelta(seconds=301),
            signed_each_time=True,
        )


async def test_every_byte_of_a_genuine_notice_counts(rig: Rig, receiver: Any, now: Any) -> None:
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    headers, body = await receiver.taken.get()
    rig.channel.parse_notification(headers, body, now=now)
    for place in range(len(body)):
        altered = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(NotificationRefused):
            rig.channel.parse_notification(headers, altered, now=now)


def test_the_secret_is_in_no_repr_and_in_no_error() -> None:
    credentials = TealeafCredentials.model_validate(ACCOUNT)
    assert SECRET not in repr(credentials)
    with pytest.raises(ValueError, match="shop") as refused:
        TealeafCredentials.model_validate({**ACCOUNT, "shop": "x"})
    assert SECRET not in str(refused.value)


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """What an installer would write beside the package: its name and its entry points."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "hutong_tealeaf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["hutong.channels"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[hutong.channels]", *lines, ""]))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{EXAMPLE}"}
    done = subprocess.run(
        [sys.executable, "-m", "hutong", "channels", "coverage", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["tealeaf"] == {"documented": 14, "mapped": 14, "ratio": 1.0, "missing": []}
