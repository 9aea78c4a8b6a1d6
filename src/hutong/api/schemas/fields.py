"""Parts that the models of several resources share: texts, instants, reasons, lists, examples."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from hutong.operators import REASON_LENGTH_MAX

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def clean(text: str) -> str:
    """Return a text that is not blank and can be stored and shown.

    Errors:
        ValueError: it is not.
    """
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError("contains a control character or half of a surrogate pair")
    if not text.strip():
        raise ValueError("is blank")
    return text


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("is not an RFC 3339 instant such as 2026-01-01T12:00:00Z")
    return datetime.fromisoformat(value.upper())


Text = Annotated[str, AfterValidator(clean)]
OptionalText = Annotated[str, AfterValidator(lambda text: text and clean(text))]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]


class RequestModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Reason(RequestModel):
    """The reason for an action."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the channel has called"}]})

    reason: Text = Field(min_length=1, max_length=REASON_LENGTH_MAX, description="Kept permanently.")


class ListObject(BaseModel):
    """A list; `data` holds its entries."""

    object: Literal["list"]


class PageObject(ListObject):
    """A page of a list."""

    has_more: bool
    next_cursor: str | None


def example_body(model: type[BaseModel]) -> Any:
    """Declare a request's body, with the model's first example in the documentation."""
    example = model.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]
    return Body(openapi_examples={"one": {"value": example}})
