"""The parts that reconciliation works with, and the settings that it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hutong import channels, db
from hutong.clock import Clock
from hutong.ids import Ids
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.expected import WindowSetting
from hutong.reconciliation.tolerances import Tolerances


@dataclass(frozen=True, slots=True)
class ReconciliationConfig:
    """The settings of reconciliation.

    Attributes:
        folder: Under which every account's day has a folder.
        memory_mb: The most that a run may hold in memory.
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
    upload_bytes_max: int = 4 << 30
    engine: str = "fingerprint"
    spark_master: str = "local[2]"
    windows: Mapping[str, WindowSetting] = field(default_factory=dict)
    tolerances: Tolerances = field(default_factory=dict)
    settles_to: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """The bounds of a computation."""
        return Limits(self.memory_mb)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The wired parts."""

    database: db.Database
    accounts: channels.Accounts
    config: ReconciliationConfig
    clock: Clock
    ids: Ids
