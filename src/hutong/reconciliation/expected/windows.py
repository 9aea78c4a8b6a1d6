"""The window of a party: from the rule of its bills, with what an installation sets otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hutong.channels import BillRule
from hutong.errors import ConfigurationError
from hutong.reconciliation.model import DayWindow

_DAY_MINUTES = 1_440
_Minutes = Annotated[int, Field(ge=0, le=_DAY_MINUTES)]
_Days = Annotated[tuple[date, ...], Field(max_length=1_000), AfterValidator(lambda days: tuple(sorted(set(days))))]


class WindowSetting(BaseModel):
    """What an installation sets of a party's window; None keeps the party's own rule.

    Attributes:
        cut_minutes: How long after midnight a day ends; below zero for an evening, such as -60 for 23:00.
        margin_minutes: How far a row may lie from a cut and still belong to the other side of it.
        rolls: How many further files a row waits for before it becomes a difference.
        weekends: Whether Saturdays and Sundays count as days on which a file comes.
        holidays, workdays: Single days that do not count, or that do although they are weekends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    utc_offset_minutes: Annotated[int, Field(ge=-840, le=840)] | None = None
    cut_minutes: Annotated[int, Field(gt=-_DAY_MINUTES, lt=_DAY_MINUTES)] | None = None
    margin_minutes: _Minutes | None = None
    rolls: Annotated[int, Field(ge=0, le=31)] | None = None
    weekends: bool | None = None
    holidays: _Days | None = None
    workdays: _Days | None = None


def read_windows(given: Mapping[str, Mapping[str, Any]]) -> dict[str, WindowSetting]:
    """Return the settings of windows by channel or by the public id of an account.

    Errors:
        ConfigurationError: there is no such setting, or it is out of its bounds.
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
    window = DayWindow(timedelta(hours=8)) if rule is None else DayWindow(rule.utc_offset, rule.cut)
    return set_window(window, channel, account, settings or {})


def set_window(window: DayWindow, channel: str, account: str, settings: Mapping[str, WindowSetting]) -> DayWindow:
    """Return a window with what is set for an account, or else for its channel."""
    setting = settings.get(account) or settings.get(channel)
    if setting is None:
        return window
    lengths = {
        "zone_offset": setting.utc_offset_minutes,
        "cut": setting.cut_minutes,
        "margin": setting.margin_minutes,
    }
    changes: dict[str, Any] = {
        name: timedelta(minutes=minutes) for name, minutes in lengths.items() if minutes is not None
    }
    for name in ("rolls", "weekends", "holidays", "workdays"):
        if (value := getattr(setting, name)) is not None:
            changes[name] = value
    return replace(window, **changes)
