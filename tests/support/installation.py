"""`hutong serve` in processes of its own, and a merchant of it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from hutong import merchants
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.demo.platform import free_port
from hutong.ids import Ids


class Installation:
    """A running `hutong serve`.

    Args:
        settings: More settings, by their environment variables.
    """

    def __init__(self, home: Path, log: Path, **settings: str) -> None:
        self.home, self.log, self.port = home, log, free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
        own = {
            "HUTONG_HOME": str(self.home),
            "HUTONG_PORT": str(self.port),
            "HUTONG_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "HUTONG_LOG_LEVEL": "warning",
        }
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hutong", "serve"],
                env=inherited | own | settings, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.key = ""

    def call(self, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """Send a request; a connection that brings no answer has the status 0."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, dict(answer.headers), json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, {name.lower(): value for name, value in refused.headers.items()}, None
        except OSError:
            return 0, {}, None

    def order(self, number: str) -> tuple[int, dict[str, str], Any]:
        order = {"merchant_order_no": number, "amount_minor": 1, "currency": "CNY", "subject": "Order"}
        return self.call("/v1/payments", order)

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 240
        while self.call("/readyz")[0] != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(240)


async def make_merchant(url: str) -> str:
    ids, now = Ids(SystemClock()), SystemClock().now()
    new = merchants.NewMerchant(ids.new(), "Example Store", 6_000, ())
    async with Database.open(url, size=1) as database, database.transaction() as tx:
        await merchants.create_merchant(tx, new, now=now)
        key = await merchants.create_api_key(
            tx, new.merchant_id, key_id=ids.new(), random=secrets.token_urlsafe(32), now=now
        )
    return key.secret
