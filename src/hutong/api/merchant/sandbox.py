"""The route of `/v1/sandbox/clock`: the time of a sandbox, which merchants move to try what comes later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from hutong.api.dependencies import Caller, Services, Use
from hutong.api.problems import responses
from hutong.api.requests import Instant, RequestModel, StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.fields import example_body
from hutong.clock import SandboxClock, instant
from hutong.errors import HutongError

router = APIRouter(prefix="/v1/sandbox/clock", tags=["Sandbox"], route_class=StrictRoute)

_STEP_MAX_S = 31_622_400


class SandboxOnly(HutongError):
    """The operation exists in the sandbox alone."""

    code = "sandbox_only"
    http_status = 403


class ClockAdvance(RequestModel):
    """How far to move the clock: by a number of seconds, or to an instant."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"advance_seconds": 86_400}]})

    advance_seconds: int | None = Field(default=None, ge=1, le=_STEP_MAX_S, description="At most 366 days at once.")
    now: Instant | None = Field(default=None, description="The instant to move to; it must be in the future.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.advance_seconds is None) == (self.now is None):
            raise ValueError("either `advance_seconds` or `now` must be given, and not both")
        return self


class SandboxClockObject(BaseModel):
    """The clock of a sandbox."""

    object: Literal["sandbox_clock"]
    now: datetime = Field(description="The installation's present instant.")
    ahead_seconds: int = Field(description="How far it is ahead of the machine's clock.")


@router.get(
    "",
    response_model=SandboxClockObject,
    responses=responses(codes="sandbox_only"),
    summary="Get the sandbox's clock",
)
async def get_sandbox_clock(use: Use, _merchant: Caller) -> Response:
    """Return the present instant of a sandbox. An installation for real money answers `sandbox_only`."""
    return json_answer(_document(_clock(use)))


@router.post(
    "",
    response_model=SandboxClockObject,
    responses=responses(codes="sandbox_only"),
    summary="Advance the sandbox's clock",
)
async def advance_sandbox_clock(
    use: Use, _merchant: Caller, body: Annotated[ClockAdvance, example_body(ClockAdvance)]
) -> Response:
    """Move the time of the whole sandbox forward: of all its merchants, its worker and its simulated channels.

    What becomes due happens within seconds: orders expire, webhooks are retried, days end. The clock never goes back,
    and keeps its place when the sandbox restarts. Each request with `advance_seconds` moves it again. Webhooks are
    signed with the machine's time, since your libraries compare it with theirs.
    """
    clock = _clock(use)
    if body.now is not None:
        clock.advance_to(body.now)
    elif body.advance_seconds is not None:
        clock.advance(timedelta(seconds=body.advance_seconds))
    return json_answer(_document(clock))


def _clock(use: Services) -> SandboxClock:
    if use.sandbox_clock is None:
        raise SandboxOnly("the clock can be moved in the sandbox alone, and this installation is none")
    return use.sandbox_clock


def _document(clock: SandboxClock) -> dict[str, object]:
    return {
        "object": "sandbox_clock",
        "now": instant(clock.now()),
        "ahead_seconds": clock.ahead_ns // 1_000_000_000,
    }
