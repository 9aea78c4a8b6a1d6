"""`hutong routing trial …` as operators run it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from hutong import routing
from hutong.db import Database
from hutong.routing.experiments.assignment import Arm, ArmOutcome
from hutong.routing.experiments.experiment import add_outcomes
from support.command_line import Run
from support.fixtures.routing_commands import RoutedPayments, keys

REASON = ("--reason", "cheaper")
DRAFT = {
    "accounts": {f"wechat/{name}": {"price": {"tiers": [{"ppm": 5_000}]}} for name in "ab"},
    "policies": {"": {"priority": ["wechat/b"]}},
}


@pytest.fixture
def routed(command: Run, fresh_database_url: str, tmp_path: Path) -> RoutedPayments:
    return RoutedPayments(command, fresh_database_url, tmp_path)


async def outcomes(url: str, *, draft: int, control: int) -> None:
    """A thousand payments of each arm are over, and so many of them succeeded."""
    async with Database.open(url, size=1) as database, database.transaction() as tx:
        status = await routing.latest_experiment(tx)
        assert status is not None
        await add_outcomes(
            tx,
            {
                (status.experiment.experiment_id, arm, "CNY"): ArmOutcome(1_000, paid, paid * 10_000, paid * 500_000)
                for arm, paid in ((Arm.DRAFT, draft), (Arm.CONTROL, control))
            },
        )


def test_a_draft_is_tried_watched_and_published_only_if_it_does_no_worse_or_anyway(
    command: Run, routed: RoutedPayments, tmp_path: Path
) -> None:
    files = keys(command, tmp_path)
    maker, checker = (("--key", files[role]) for role in ("operator", "approver"))
    file = tmp_path / "draft.json"
    file.write_text(json.dumps(DRAFT))
    assert "no draft was ever tried" in command("routing", "trial", "status").stderr
    made = command(
        "routing",
        "trial",
        "start",
        "--draft",
        str(file),
        "--share",
        "20",
        "--guardrail",
        "5",
        *maker,
        *REASON,
        "--json",
    )
    assert made.returncode == 0, made.stderr
    proposal = json.loads(made.stdout)["proposal_id"]
    assert command("routing", "approve", proposal, *checker, *REASON).returncode == 0
    assert "a draft is being tried" in command("routing", "status").stdout
    asyncio.run(outcomes(routed.url, draft=800, control=900))
    output = json.loads(command("routing", "trial", "status", "--json").stdout)
    assert (output["share"], output["guardrail"], output["ended_at"], output["verdict"]) == (0.2, 0.05, None, "worse")
    assert [(arm["arm"], arm["ended"], arm["success"]) for arm in output["arms"]] == [
        ("draft", 1_000, 0.8), ("control", 1_000, 0.9),
    ]  # fmt: skip
    assert output["comparison"]["low"] < output["comparison"]["difference"] < output["comparison"]["high"] < 0
    assert output["comparison"]["p_value"] < 0.001
    shown = command("routing", "trial", "status").stdout
    assert "difference -10.00%" in shown
    assert "0.50%" in shown, "the cost of what was taken"
    refused = command("routing", "publish", str(file), *maker, *REASON)
    assert (refused.returncode, "routing_trial_undecided" in refused.stderr) == (2, True)
    assert command("routing", "publish", str(file), *maker, *REASON, "--anyway").returncode == 0
    assert command("routing", "trial", "stop", *maker, *REASON).returncode == 0
    assert "ended" in command("routing", "trial", "status").stdout
    assert "no draft is being tried" in command("routing", "trial", "stop", *maker, *REASON).stderr
