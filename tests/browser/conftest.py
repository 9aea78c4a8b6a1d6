"""A browser for the tests: Debian's Chromium, driven by Playwright, which reaches nothing but this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from support import unavailable
from support.fakes.checkout import MemoryCheckout, cashier_app, serving
from support.small_png import smaller

CHROMIUM = shutil.which("chromium")
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
# Taken out of the environment: the platform's own processes refuse settings that they do not know.
WITH_PICTURES = os.environ.pop("HUTONG_SCREENSHOTS", "") == "1"
IMAGES = Path(__file__).parents[2] / "docs" / "images"
_WATCH_POLICY = "addEventListener('securitypolicyviolation', e => console.error(`CSP: ${e.violatedDirective}`));"

Open = Callable[..., Awaitable[Page]]
KeepPicture = Callable[[Page, str], Awaitable[None]]


@dataclass
class Watched:
    """What went wrong or went out while pages were open; a test that ends with anything here fails.

    Attributes:
        allowed: Parts of console errors that the test provokes on purpose.
    """

    errors: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.hostname != "127.0.0.1":
            self.errors.append(f"left this machine: {request.url}")

    def unexpected(self) -> list[str]:
        return [error for error in self.errors if not any(part in error for part in self.allowed)]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for the whole run."""
    if CHROMIUM is None:
        unavailable("Chromium is not installed")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield opened
        await opened.close()


@pytest.fixture
def watched() -> Iterator[Watched]:
    watcher = Watched()
    yield watcher
    assert watcher.unexpected() == []


@pytest.fixture
async def open_page(browser: Browser, watched: Watched) -> AsyncIterator[Open]:
    """Open an address in a fresh profile: `await open_page(url, viewport=…, color_scheme=…, locale=…)`."""
    contexts: list[BrowserContext] = []

    async def open_one(url: str, **options: object) -> Page:
        settings = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = await browser.new_context(**settings)  # type: ignore[arg-type]
        contexts.append(context)
        await context.add_init_script(_WATCH_POLICY)
        page = await context.new_page()
        watched.watch(page)
        await page.goto(url)
        return page

    yield open_one
    for context in contexts:
        await context.close()


@pytest.fixture
def checkout() -> MemoryCheckout:
    return MemoryCheckout()


@pytest.fixture
def cashier_url(checkout: MemoryCheckout) -> Iterator[str]:
    """The cashier alone, on a life cycle that the test plays."""
    with serving(cashier_app(checkout)) as url:
        yield url


@pytest.fixture
def keep_picture() -> KeepPicture:
    """Write what a page shows for the documentation, if that is wanted (`make pictures`)."""

    async def keep(page: Page, name: str) -> None:
        if WITH_PICTURES:
            place = IMAGES / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(smaller(await page.screenshot(animations="disabled")))

    return keep
