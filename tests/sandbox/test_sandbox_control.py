"""The control of the sandbox takes nothing from a page of another site, by none of its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from hutong.sandbox import SandboxSettings, serve

FOREIGN = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]


@pytest.fixture(scope="module")
async def control(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with serve(SandboxSettings(tmp_path_factory.mktemp("controlled"))) as url:
        yield f"{url}/control"


async def test_a_page_of_another_site_controls_nothing(control: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(control) as answer:
            channels = (await answer.json())["channels"]
        routes = [("GET", control)]
        for channel in channels:
            async with session.get(f"{control}/{channel}/none") as answer:
                verbs = [verb.split(" ") for verb in (await answer.json())["verbs"]]
            routes += [(method, f"{control}/{channel}/{verb}") for method, verb in verbs]
        assert len(routes) > 60
        for method, url in routes:
            for headers in FOREIGN:
                async with session.request(method, url, headers=headers, json={}) as answer:
                    assert answer.status == 403, (method, url)
            own = {"Origin": control.removesuffix("/control"), "Sec-Fetch-Site": "same-origin"}
            async with session.request(method, url, headers=own, json={}) as answer:
                assert answer.status != 403, (method, url)
