"""The parts that reconciliation works with, and the settings that it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from hutong import channels, db
from hutong.clock import Clock
from hutong.ids import Ids
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.expected import WindowSetting
from hutong.reconciliation.tolerances import Tolerances

T = TypeVar("T")
_AT_ONCE = 2
_MEMORY_MIN_MB = 256
"""What an account has at least, if there is so much."""


@dataclass(frozen=True, slots=True)
class ReconciliationConfig:
    """The settings of reconciliation.

    Attributes:
        folder: Under which every account's day has a folder.
        memory_mb: The most that runs at the same time may hold in memory together.
        threads: How many threads they use together.
        upload_bytes_max: The size of the largest file that is taken.
        engine: The name of the engine that matches.
        spark_master: The address of the cluster that the engine `spark` uses.
        windows: What is set of the days of channels or accounts, where their own rules are not right.
        tolerances: By how much columns may differ, of channels or accounts.
        settles_to: By channel or account, the names or ids of the bank accounts that its money goes to; needed where
            there are several in one currency.
    """

    folder: Path
    memory_mb: int = 512
    threads: int = 2
    upload_bytes_max: int = 4 << 30
    engine: str = "fingerprint"
    spark_master: str = "local[2]"
    windows: Mapping[str, WindowSetting] = field(default_factory=dict)
    tolerances: Tolerances = field(default_factory=dict)
    settles_to: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """The bounds of a computation."""
        return Limits(self.memory_mb, self.threads)

    @property
    def at_once_max(self) -> int:
        """How many accounts are worked on at the same time: each needs its memory, and a cluster has one driver."""
        return 1 if self.engine == "spark" else min(_AT_ONCE, self.memory_mb // _MEMORY_MIN_MB)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The wired parts."""

    database: db.Database
    accounts: channels.Accounts
    config: ReconciliationConfig
    clock: Clock
    ids: Ids

    async def for_each(self, accounts: Sequence[T], work: Callable[[Reconciliation, T], Awaitable[int]]) -> int:
        """Do the work of several accounts, some at the same time, which share memory and threads; return the sum."""
        at_once = max(1, min(self.config.at_once_max, len(accounts)))
        memory_mb, threads = self.config.memory_mb // at_once, max(1, self.config.threads // at_once)
        shared = replace(self, config=replace(self.config, memory_mb=memory_mb, threads=threads))
        gate = asyncio.Semaphore(at_once)

        async def one(account: T) -> int:
            async with gate:
                return await work(shared, account)

        return sum(await asyncio.gather(*map(one, accounts)))
