"""The API reference in a real browser."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import uvicorn
from playwright.async_api import async_playwright, expect

from hutong.api import create_app
from hutong.clock import SystemClock
from hutong.ids import Ids
from support import unavailable

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
VIOLATIONS = "addEventListener('securitypolicyviolation', e => console.error(`CSP: ${e.violatedDirective}`));"


@asynccontextmanager
async def no_services() -> AsyncIterator[Any]:
    """The page and the description need none."""
    yield SimpleNamespace(database=None)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    app = create_app(no_services, identifiers=Ids(SystemClock()))  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await running


@pytest.mark.parametrize(("path", "document"), [("/docs", "openapi"), ("/docs/operator", "openapi-operator")])
async def test_reference_shows_every_operation_and_loads_nothing_from_elsewhere(
    address: str, path: str, document: str
) -> None:
    if (chromium := shutil.which("chromium")) is None:
        unavailable("Chromium is not installed")
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = await browser.new_page(viewport={"width": 1280, "height": 1000})
        await page.add_init_script(VIOLATIONS)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(f"uncaught: {error}"))
        page.on("request", lambda sent: wrong.append(sent.url) if _leaves(sent.url) else None)
        await page.goto(f"{address}{path}")
        description = await (await page.request.get(f"{address}/{document}.json")).json()
        items = [*description["paths"].values(), *description.get("webhooks", {}).values()]
        summaries = {one["summary"] for item in items for one in item.values()}
        await expect(page.locator(".opblock")).to_have_count(len(summaries))
        shown = await page.locator(".opblock-summary-description").all_inner_texts()
        assert set(shown) == summaries
        first, field = ("Create a payment", "merchant_order_no")
        if path == "/docs/operator":
            first, field = ("Approve a proposal", "proposal_id")
        await page.locator(".opblock", has_text=first).get_by_role("button").first.click()
        await expect(page.get_by_text(field).first).to_be_visible()
        await page.get_by_role("button", name="Try it out").click()
        await page.get_by_role("button", name="Execute").wait_for()
        await browser.close()
    assert wrong == []


async def test_page_runs_no_script_but_its_own_and_cannot_be_framed(address: str) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{address}/docs") as answer:
        policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_absent_files_are_problems(address: str) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{address}/docs/__init__.py") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (404, "not_found")


def _leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1"
