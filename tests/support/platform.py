"""The platform over a test's own database and channels, wired by the composition root as everywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random
from typing import Any

from pydantic import SecretStr

from hutong import app
from hutong.api import JsonAnswers
from hutong.clock import Clock
from hutong.db import Database
from hutong.ids import Ids
from hutong.vault import Vault

KEY = bytes(32)
VAULT = Vault([KEY])


def wired(
    database: Database,
    accounts: Any,
    *,
    clock: Clock,
    ids: Ids,
    draw: Callable[[], float] | None = None,
    **settings: Any,
) -> app.Platform:
    """The platform under `VAULT`, with `accounts` in the place of those in the database."""
    return app.wire(
        app.Settings(
            secret_key=SecretStr(base64.b64encode(KEY).decode()), public_url="https://pay.example", **settings
        ),
        database=database,
        records=database,
        vault=VAULT,
        accounts=accounts,
        clock=clock,
        ids=ids,
        draw=draw or Random(0).random,
        answers=JsonAnswers,
    )
