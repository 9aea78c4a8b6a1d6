"""The table of the actions that may end a difference, read by checks, exports and lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from hutong.errors import InvalidParameter
from hutong.operators import Role
from hutong.reconciliation.model import Difference, DifferenceAction, DifferenceClass, DifferenceState, Layer

_A, _C, _L = DifferenceAction, DifferenceClass, Layer
_BILLS = frozenset({_L.PAYMENT_BILL, _L.REFUND_BILL, _L.PAYOUT_BILL, _L.DISPUTE_BILL})
_MONEY = _BILLS | {_L.BATCH_BANK}
_ALL_LAYERS = frozenset(_L)
_DUE = frozenset(_C) - {_C.PENDING}
_ONE_SIDED = frozenset({_C.UNEXPECTED, _C.MISMATCH})


@dataclass(frozen=True, slots=True)
class DifferenceRule:
    """One way in which an action is allowed.

    Attributes:
        sign: "long", "short", or empty for both and for no money at all.
        columns: Of a mismatch, the columns that may differ; empty for any.
        two_persons: Whether another person has to approve it, because money moves.
        asks_channel: Whether it is carried out by asking the channel once it is approved.
        stays: Whether the case stays in suspense, explained.
        role: The least role of the person who proposes it.
    """

    action: DifferenceAction
    layers: frozenset[Layer]
    classes: frozenset[DifferenceClass]
    sign: str = ""
    columns: frozenset[str] = frozenset()
    two_persons: bool = True
    asks_channel: bool = False
    stays: bool = False
    role: Role = Role.OPERATOR


_R = DifferenceRule
_STATE, _FEE = frozenset({"state"}), frozenset({"fee"})

RULES: tuple[DifferenceRule, ...] = (
    _R(_A.CONFIRM, frozenset({_L.PAYMENT_BILL}), _ONE_SIDED, "long", _STATE),
    _R(_A.CONFIRM, frozenset({_L.REFUND_BILL}), _ONE_SIDED, "", _STATE),
    _R(_A.CONFIRM, frozenset({_L.REFUND_BILL}), frozenset({_C.MISSING}), asks_channel=True),
    DifferenceRule(
        _A.ADOPT_REFUND, frozenset({_L.REFUND_BILL}), frozenset({_C.UNEXPECTED}), "short", asks_channel=True
    ),
    _R(_A.REFUND, frozenset({_L.PAYMENT_BILL}), _ONE_SIDED, "long", _STATE),
    _R(_A.ADJUST_FEE, _BILLS, frozenset({_C.MISMATCH}), "", _FEE),
    _R(_A.CLAIM, _MONEY, _DUE, "short", two_persons=False, stays=True),
    _R(_A.SUSPENSE, _ALL_LAYERS, _DUE, two_persons=False, stays=True),
    _R(_A.PAIR, _MONEY, _DUE),
    _R(_A.WRITE_OFF, _BILLS, _DUE),
    _R(_A.WRITE_OFF, frozenset({_L.ORDER_PAYMENT, _L.LEDGER_ORDER}), _DUE),
    DifferenceRule(
        _A.WRITE_OFF, frozenset({_L.BATCH_BANK}), frozenset({_C.UNEXPECTED, _C.DUPLICATE}), role=Role.APPROVER
    ),
)
"""Every allowed combination. What is not in it is refused."""


def check_duties(duties: Iterable[str]) -> None:
    """Refuse duties of an operator that name no layer, or an action that is not possible there.

    Errors:
        InvalidParameter: `param` is "--duty".
    """
    for duty in duties:
        layer, colon, action = duty.partition(":")
        if layer not in set(Layer) or (colon and not any(action == r.action and layer in r.layers for r in RULES)):
            raise InvalidParameter(f"{duty} is neither a layer nor an action of one", param="--duty")


def rule_of(case: Difference, action: DifferenceAction) -> DifferenceRule | str:
    """Return the rule that allows an action for a case, or one sentence with the reason why none does."""
    return _rule(action, case.layer, case.klass, case.column, sign_of(case))


@lru_cache(1_024)
def _rule(
    action: DifferenceAction, layer: Layer, klass: DifferenceClass, column: str, sign: str
) -> DifferenceRule | str:
    rules = [rule for rule in RULES if rule.action is action]
    if not rules:
        return f"{action.value} is not an action of persons"
    rules = [rule for rule in rules if layer in rule.layers]
    if not rules:
        return f"{action.value} is not possible for the layer {layer.value}"
    rules = [rule for rule in rules if klass in rule.classes]
    if not rules:
        return f"{action.value} is not possible for the class {klass.value}"
    if klass is DifferenceClass.MISMATCH:
        rules = [rule for rule in rules if not rule.columns or column in rule.columns]
        if not rules:
            return f"{action.value} is not possible where the column {column} differs"
    rules = [rule for rule in rules if rule.sign in ("", sign)]
    if not rules:
        return f"{action.value} is not possible for a {sign or 'zero'} amount"
    return rules[0]


def sign_of(case: Difference) -> str:
    """Return "long", "short", or nothing for no money."""
    return "long" if case.amount_minor > 0 else "short" if case.amount_minor < 0 else ""


def allowed_actions(case: Difference) -> list[DifferenceAction]:
    """Return the actions that persons may take now."""
    if case.state in (DifferenceState.ROLLED, DifferenceState.RESOLVED):
        return []
    return [action for action in DifferenceAction if isinstance(rule_of(case, action), DifferenceRule)]
