"""The identity of an installation, and the record of where its platform listens: two files of the data folder."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from hutong.config import Settings, home_folder

_READERS_LEAVE_S = 1.0
_WRITER_WRITES_S = 5.0
_PAUSE_S = 0.02
_ANSWER_LIMIT_S = 2.0
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Our own addresses are never asked for through a proxy of the environment."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where the platform of a data folder listens.

    Attributes:
        sandbox_port: None without simulated channels.
    """

    host: str
    port: int
    sandbox_host: str
    sandbox_port: int | None


def machine_id(home: Path) -> UUID:
    """Return the random name of a data folder, made at the first call and kept there.

    Each machine of an installation has a data folder of its own. The name tells nothing of either.
    """
    descriptor = os.open(home / "machine_id", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            return UUID(file.read())
        except ValueError:  # it is new, or a power cut has left half of it
            name = uuid4()
            file.seek(0)
            file.truncate()
            file.write(str(name))
            file.flush()
            os.fsync(file.fileno())
            return name


def record_serving(settings: Settings, serving: Serving) -> None:
    """Record where this process listens, until it ends. Another process of the folder that is on record stays there."""
    descriptor = os.open(_record(settings), os.O_RDWR | os.O_CREAT, 0o600)  # open until this process ends
    deadline = time.monotonic() + _READERS_LEAVE_S
    while not _lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return
        time.sleep(_PAUSE_S)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(asdict(serving)).encode())


def find_serving(settings: Settings) -> Serving | None:
    """Return where the platform of the data folder listens; None if none runs."""
    deadline = time.monotonic() + _WRITER_WRITES_S
    while time.monotonic() < deadline:
        try:
            with _record(settings).open("rb") as file:
                if _lock(file.fileno(), fcntl.LOCK_SH):
                    return None
                return Serving(**json.loads(file.read()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # it is being written
            time.sleep(_PAUSE_S)
    return None


def visit_file(settings: Settings) -> Path:
    """Return the file in which the demonstration keeps a payment to look at."""
    return home_folder(settings) / "demo.json"


def find_cashier(settings: Settings) -> str | None:
    """Return the address of the demonstration's payment to look at; None if there is none."""
    try:
        return str(json.loads(visit_file(settings).read_text())["cashier"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(settings: Settings) -> Path:
    return home_folder(settings) / "serving.json"


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def fetch(url: str) -> tuple[int, bytes]:
    """Fetch a page of this machine. Errors: OSError: no answer in HTTP within two seconds."""
    try:
        with _DIRECTLY.open(url, timeout=_ANSWER_LIMIT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error


def name_listener(settings: Settings, host: str, port: int) -> str:
    """Describe the program that listens at an address of this machine."""
    address = f"http://{host}:{port}"
    readiness = _document(f"{address}/readyz")
    if "installation" in readiness:
        if readiness["installation"] == str(machine_id(home_folder(settings))):
            return "this installation, which runs already"
        return f"another Hutong, installation {readiness['installation']}"
    if readiness.get("code") in ("unavailable", "credentials_unreadable"):
        return "another Hutong, which is not ready"
    if "channels" in _document(f"{address}/control"):
        return "the sandbox of another Hutong"
    return "another program"


def _document(url: str) -> dict[str, Any]:
    try:
        found = json.loads(fetch(url)[1])
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
