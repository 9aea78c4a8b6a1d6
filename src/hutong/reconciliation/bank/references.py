"""The group key of a bank entry: which settlement of which channel it says that it is."""

from __future__ import annotations

import importlib.resources
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache


@dataclass(frozen=True, slots=True)
class ReferenceForm:
    """One form of `references.toml`.

    Attributes:
        days: What is added to the day that is named, to get the day of the bill.
    """

    name: str
    source: str
    pattern: re.Pattern[str]
    days: int = 0

    def key(self, text: str) -> str | None:
        """Return the group key that a text names in this form."""
        found = self.pattern.search(text)
        if found is None:
            return None
        names = found.groupdict()
        if names.get("batch"):
            return names["batch"]
        try:
            day = date.fromisoformat(names["day"]) + timedelta(self.days)
        except ValueError:
            return None
        return settlement_key(names["merchant"], day)


def settlement_key(merchant: str, day: date) -> str:
    """Return the group key of a settlement that has no number of its own.

    Args:
        merchant: The merchant's number at the channel, or the public id of our account there if the bill has none.
        day: The day of the bill.
    """
    return f"{merchant}:{day.isoformat()}"


def group_key(texts: Iterable[str]) -> str:
    """Return the group key that an entry's references or text name; empty if none does."""
    candidates = [text for text in texts if text]
    for form in reference_forms():
        for text in candidates:
            if (key := form.key(text)) is not None:
                return key
    return ""


@cache
def reference_forms() -> tuple[ReferenceForm, ...]:
    """Return the forms of the package's data file, in their order."""
    data = tomllib.loads((importlib.resources.files(__package__) / "references.toml").read_text())
    return tuple(
        ReferenceForm(form["name"], form["source"], re.compile(form["pattern"]), form.get("days", 0))
        for form in data["form"]
    )
