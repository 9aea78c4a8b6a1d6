"""Where the payer goes on: to the channel's page, by a link or by a form, or back to his application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from hutong.cashier import formatting as text
from hutong.channels import ActionKind, PayerAction

_FIELDS_MAX = 100
_CHARSETS = {"utf-8", "gbk", "gb18030"}


@dataclass(frozen=True, slots=True)
class Onward:
    """The next step of a payer who does not scan.

    Attributes:
        kind: REDIRECT, FORM or SDK.
        url: Where the link or the form leads; None for SDK.
        fields: What the form posts.
        charset: How its fields are encoded.
    """

    kind: ActionKind
    url: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    charset: str = "UTF-8"

    @property
    def origin(self) -> str:
        """The form's origin, for the policy that allows posting there and nowhere else."""
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.netloc}"


def onward(action: PayerAction | None) -> Onward | None:
    """The next step, if it is one that a page may offer; an address that is not plain http(s) is none."""
    if action is None or action.kind is ActionKind.QR_CODE:
        return None
    if action.kind is ActionKind.SDK:
        return Onward(ActionKind.SDK)
    if action.kind is ActionKind.REDIRECT:
        url = text.web_address(action.content)
        return None if url is None else Onward(ActionKind.REDIRECT, url)
    try:
        form = orjson.loads(action.content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(form, dict) or not isinstance(form.get("url"), str):
        return None
    url, fields, charset = text.web_address(form["url"]), form.get("fields"), form.get("charset", "UTF-8")
    if url is None or not isinstance(fields, dict) or len(fields) > _FIELDS_MAX or not isinstance(charset, str):
        return None
    if not all(isinstance(value, str) for value in fields.values()):
        return None
    # A policy is written in a header: what could end the header's value or widen it is no origin.
    if any(character in urlsplit(url).netloc for character in ";,'\"* "):
        return None
    return Onward(ActionKind.FORM, url, fields, charset if charset.lower() in _CHARSETS else "UTF-8")
