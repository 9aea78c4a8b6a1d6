"""The receivers that the guide shows take what is genuine, once, and nothing else."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from hutong.events.webhooks.signing import signer
from support import unavailable
from support.guides import ROOT

FOLDER = ROOT / "examples" / "webhooks"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
FLASK, EXPRESS = "flask==3.1.2", "express@5.1.0"
MINUTES_6 = timedelta(minutes=6)


def message(name: str, *, later: timedelta = timedelta(0), secret: str = SECRET) -> tuple[bytes, dict[str, str]]:
    """A genuine webhook: body and headers. The text has what a parser that writes it again would change."""
    body = (
        f'{{"id": "{name}", "type": "payment.succeeded",  "data": {{"id": "pay_1", "subject": "\\u6392骨"}}}}'.encode()
    )
    at = datetime.now(UTC) + later
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signer(secret)(name, at, body.decode()),
        "Content-Type": "application/json",
    }
    return body, headers


def send(port: int, body: bytes, headers: dict[str, str]) -> int:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}/hutong", body, headers), timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def fetched(command: list[str], name: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=240)
    except (OSError, subprocess.SubprocessError) as error:
        unavailable(f"{name} cannot be fetched: {error}")


def flask(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    fetched([sys.executable, "-m", "uv", "pip", "install", "-q", "--target", str(folder), FLASK], FLASK)
    paths = {"PYTHONPATH": f"{folder}:{FOLDER}"}
    return [sys.executable, "-m", "flask", "--app", "flask_receiver", "run", "--port", str(port)], paths


def fastapi(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "uvicorn", "fastapi_receiver:app", "--port", str(port)], {"PYTHONPATH": str(FOLDER)}


def express(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    fetched(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), EXPRESS], EXPRESS)
    shutil.copy(FOLDER / "express_receiver.mjs", folder)  # node looks for packages beside the file
    return ["node", str(folder / "express_receiver.mjs")], {"PORT": str(port)}


def java(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    if shutil.which("javac") is None:
        unavailable("there is no JDK")
    return ["java", str(FOLDER / "Receiver.java"), str(port)], {}


@pytest.fixture(params=[flask, fastapi, express, java], ids=lambda start: start.__name__)
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A running receiver: its port, and the file with what it prints."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command, settings = request.param(tmp_path, port)
    printed = tmp_path / "printed"
    environment = os.environ | settings | {"WEBHOOK_SECRET": SECRET}
    with printed.open("wb") as output, subprocess.Popen(
        command, env=environment, stdout=output, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            wait_for(port, process, printed)
            yield port, printed
        finally:
            process.terminate()


def wait_for(port: int, process: subprocess.Popen[bytes], printed: Path) -> None:
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        assert process.poll() is None, printed.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(printed.read_text())


def test_a_receiver_takes_what_is_genuine_once_and_refuses_everything_else(receiver: tuple[int, Path]) -> None:
    port, printed = receiver
    body, headers = message("evt_1")
    assert send(port, body, headers) == 204
    assert send(port, body, headers) == 204  # repeated: answered, not handled again
    both = {"webhook-signature": f"v1,{base64.b64encode(bytes(32)).decode()} {headers['webhook-signature']}"}
    assert send(port, body, headers | both) == 204  # a rotation: the second signature is ours
    assert send(port, body.replace(b"pay_1", b"pay_2"), headers) == 400
    assert send(port, json.dumps(json.loads(body)).encode(), headers) == 400
    assert send(port, body, headers | {"webhook-id": "evt_2"}) == 400
    assert send(port, *message("evt_3", secret="whsec_" + base64.b64encode(bytes(32)).decode())) == 400
    assert send(port, *message("evt_4", later=-MINUTES_6)) == 400
    assert send(port, *message("evt_5", later=MINUTES_6)) == 400
    for header in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert send(port, body, {name: value for name, value in headers.items() if name != header}) == 400
    for nonsense in ("", "v1,", "v1", "x" * 500, "v1a," + headers["webhook-signature"][3:]):
        assert send(port, body, headers | {"webhook-signature": nonsense}) == 400
    handled = [line for line in printed.read_text().splitlines() if "payment.succeeded" in line]
    assert len(handled) == 1
    assert "pay_1" in handled[0]
