"""What a seed found in the books, and the fewest steps that show it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from books_plan import Plan, Step


@dataclass(frozen=True)
class Verdict:
    """What a seed found.

    Attributes:
        failed_at: The number of the step that found the problem.
    """

    problem: str | None
    story: list[str]
    failed_at: int = 0
    days: int = 0
    lines: int = 0

    @property
    def check(self) -> str | None:
        """The check that failed."""
        return self.problem.split(":", 1)[0] if self.problem else None


async def shrink(
    plan: Plan, verdict: Verdict, run: Callable[[Plan], Awaitable[Verdict]], *, seconds: float
) -> tuple[Plan, Verdict]:
    """Leave out steps, first many and then few, as long as the same check fails."""
    steps: Sequence[Step] = plan.steps[: verdict.failed_at + 1]
    until = time.monotonic() + seconds
    size = max(len(steps) // 2, 1)
    while size and time.monotonic() < until:
        at = 0
        while at < len(steps) and time.monotonic() < until:
            fewer = (*steps[:at], *steps[at + size :])
            found = await run(replace(plan, steps=fewer))
            if found.check == verdict.check:
                steps, verdict = fewer[: found.failed_at + 1], found
            else:
                at += size
        size //= 2
    return replace(plan, steps=tuple(steps)), verdict


def describe(plan: Plan, verdict: Verdict) -> str:
    """What failed, and the steps that lead there."""
    return "\n".join((f"seed {plan.seed}: {plan}: {verdict.problem}", *(f"  {line}" for line in verdict.story)))
