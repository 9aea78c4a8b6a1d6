"""Parts that the models of several resources share: reasons, lists, examples."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

from hutong.api.requests import RequestModel, Text
from hutong.operators import REASON_LENGTH_MAX


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
