"""Enumerations that are the API's alone, each under a name that clients get too. Modules' own are used as they are."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypeAliasType

CloseReason = TypeAliasType("CloseReason", Literal["merchant", "expired", "operator"])
DisabledReason = TypeAliasType("DisabledReason", Literal["merchant", "failing"])
PlatformMode = TypeAliasType("PlatformMode", Literal["normal", "catch_up"])
ProposalState = TypeAliasType("ProposalState", Literal["open", "approved", "rejected", "expired", "void"])
FallbackRoute = TypeAliasType("FallbackRoute", Literal["payout", "manual"])
UnknownNumberKind = TypeAliasType("UnknownNumberKind", Literal["payment", "refund", "payout"])
UnknownNumberSource = TypeAliasType("UnknownNumberSource", Literal["notification", "bill"])

SelectionReason = TypeAliasType(
    "SelectionReason", Literal["score", "priority", "split", "pin", "probe", "explore", "default", "no_route"]
)
Arm = TypeAliasType("Arm", Literal["draft", "control"])
HealthState = TypeAliasType("HealthState", Literal["healthy", "degraded", "open", "probing"])
RoutingMode = TypeAliasType("RoutingMode", Literal["auto", "suggest", "manual"])
NewOverrideKind = TypeAliasType("NewOverrideKind", Literal["pin", "block"])
SuggestionKind = TypeAliasType("SuggestionKind", Literal["leave", "return"])
TrialVerdict = TypeAliasType("TrialVerdict", Literal["undecided", "better", "no_worse", "worse"])

ReconciledKind = TypeAliasType(
    "ReconciledKind", Literal["payment", "surplus", "refund", "refund_failure", "payout", "dispute"]
)
ReconciledStatus = TypeAliasType("ReconciledStatus", Literal["reconciled", "pending", "different"])

SheetForm = TypeAliasType("SheetForm", Literal["csv", "xlsx"])

TransferKind = TypeAliasType("TransferKind", Literal["booked", "held", "posted", "released", "expired"])
SubjectOwner = TypeAliasType(
    "SubjectOwner",
    Literal["company", "bank account", "channel account", "merchant", "user", "product", "campaign"],
)
AccountFlag = TypeAliasType(
    "AccountFlag",
    Literal["debits_must_not_exceed_credits", "credits_must_not_exceed_debits", "history", "imported"],
)
TrueOrFalse = TypeAliasType("TrueOrFalse", Literal["true", "false"])
