"""The matcher: a pure function of two files of rows and a layer's definition, on one of several engines."""

from __future__ import annotations

from hutong import errors
from hutong.reconciliation.matching.model import MatchEngine, MatchJob, MatchResult

ENGINES = ("fingerprint", "one_sql", "ibis_duckdb", "spark")
"""The names of the engines, the default first."""


def engine(name: str, *, spark_master: str = "local[2]") -> MatchEngine:
    """Return the engine of a name. What it stands on is imported here and not before.

    Errors:
        InvalidParameter: there is none.
    """
    if name == "fingerprint":
        from hutong.reconciliation.matching.fingerprint import FingerprintEngine

        return FingerprintEngine()
    if name == "one_sql":
        from hutong.reconciliation.matching.one_sql import OneSqlEngine

        return OneSqlEngine()
    if name in ("ibis_duckdb", "spark"):
        from hutong.reconciliation.matching.ibis_engine import IbisEngine, OnDuckDB, OnSpark

        return IbisEngine(OnSpark(spark_master) if name == "spark" else OnDuckDB())
    raise errors.InvalidParameter(f"the engine must be one of {', '.join(ENGINES)}", param="engine")


__all__ = ("ENGINES", "MatchEngine", "MatchJob", "MatchResult", "engine")
