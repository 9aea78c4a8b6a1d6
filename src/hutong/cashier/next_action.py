"""The next action of a payer who does not scan: the channel's page, by a link or a form, or their application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from hutong.cashier import formatting
from hutong.channels import ActionKind, PayerAction

_FIELDS_MAX = 100
_CHARSETS = {"utf-8", "gbk", "gb18030"}


@dataclass(frozen=True, slots=True)
class NextAction:
    """The next action of a payer who does not scan.

    Attributes:
        kind: REDIRECT, FORM or SDK.
        url: The target of the link or the form; None for SDK.
        fields: The fields that the form posts.
        charset: The encoding of the fields.
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


def next_action(action: PayerAction | None) -> NextAction | None:
    """Return the action if a page may offer it; an address that is not plain http(s) makes it None."""
    if action is None or action.kind is ActionKind.QR_CODE:
        return None
    if action.kind is ActionKind.SDK:
        return NextAction(ActionKind.SDK)
    if action.kind is ActionKind.REDIRECT:
        url = formatting.web_address(action.content)
        return None if url is None else NextAction(ActionKind.REDIRECT, url)
    try:
        form = orjson.loads(action.content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(form, dict) or not isinstance(form.get("url"), str):
        return None
    url, fields, charset = formatting.web_address(form["url"]), form.get("fields"), form.get("charset", "UTF-8")
    if url is None or not isinstance(fields, dict) or len(fields) > _FIELDS_MAX or not isinstance(charset, str):
        return None
    if not all(isinstance(value, str) for value in fields.values()):
        return None
    # The origin goes into a policy header: a character that could end or widen the header's value disqualifies it.
    if any(character in urlsplit(url).netloc for character in ";,'\"* "):
        return None
    return NextAction(ActionKind.FORM, url, fields, charset if charset.lower() in _CHARSETS else "UTF-8")
