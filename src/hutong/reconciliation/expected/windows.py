"""The window of a channel: from the rule of its bills, with what an installation sets otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hutong.channels import BillRule
from hutong.errors import ConfigurationError
from hutong.reconciliation.model import DayWindow

_DAY_MINUTES = 1_440
_Minutes = Annotated[int, Field(ge=0, le=_DAY_MINUTES)]


class WindowSetting(BaseModel):
    """What an installation sets of a channel's window; None keeps the channel's own rule.

    Attributes:
        cut_minutes: How long after midnight a day ends; below zero for an evening, such as -60 for 23:00.
        period_minutes: How long a bill is.
        margin_minutes: How far a row may lie from a cut and still belong to the other side of it.
        rolls: How many further bills a row waits for before it becomes a difference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    utc_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    cut_minutes: Annotated[int, Field(gt=-_DAY_MINUTES, lt=_DAY_MINUTES)] | None = None
    period_minutes: Annotated[int, Field(ge=1, le=_DAY_MINUTES)] | None = None
    margin_minutes: _Minutes | None = None
    rolls: Annotated[int, Field(ge=0, le=31)] | None = None


def read_windows(given: Mapping[str, Mapping[Any, int]]) -> dict[str, WindowSetting]:
    """Return the settings of windows by channel or by the public id of an account.

    Errors:
        ConfigurationError: a length is out of its bounds.
    """
    try:
        return {name: WindowSetting(**lengths) for name, lengths in given.items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"HUTONG_RECON_WINDOWS: `{first['loc'][0]}` {first['msg'].lower()}") from error


def window_of(
    channel: str, account: str, rule: BillRule | None, settings: Mapping[str, WindowSetting] | None = None
) -> DayWindow:
    """Return when the days of a channel account end, and how long a partner may be late.

    Args:
        account: Its public id.
        rule: Of the account's bills; without one its days are those of Beijing.
        settings: By channel, or by account, which goes first.
    """
    window = DayWindow(timedelta(hours=8)) if rule is None else DayWindow(rule.utc_offset, rule.cut, rule.period)
    given = settings or {}
    setting = given.get(account) or given.get(channel)
    if setting is None:
        return window
    lengths = {
        "zone_offset": setting.utc_offset_minutes,
        "cut": setting.cut_minutes,
        "period": setting.period_minutes,
        "margin": setting.margin_minutes,
    }
    changes = {field: timedelta(minutes=minutes) for field, minutes in lengths.items() if minutes is not None}
    rolls = window.rolls if setting.rolls is None else setting.rolls
    return replace(window, **changes, rolls=rolls)
