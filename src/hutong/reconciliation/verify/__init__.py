"""The check of a run by anybody: everything is computed again from the original files and our frozen side.

Promises: no database and no network is used; what a run has kept is compared and never taken over, but for what only
the books know: our own rows, what was pending then, and which cases had ended.
"""

from hutong.reconciliation.verify.chain import CheckStage, VerifiedDays, kept_days, verify_day
from hutong.reconciliation.verify.compare import Finding
from hutong.reconciliation.verify.listed import compare_with_list

__all__ = ["CheckStage", "Finding", "VerifiedDays", "compare_with_list", "kept_days", "verify_day"]
