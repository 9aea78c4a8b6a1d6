"""One of three accounts fails under load and recovers: payments go on, traffic leaves it and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from hutong.db import EmbeddedServer
from hutong.demo import drill_report as reports
from hutong.demo.drill_run import AccountEvent, DrillRun

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
ONE, TWO = "wechat/one", "wechat/two"
COMES_BACK = ((5.0, "failed"), (5.2, "open"), (7.2, "probing 1 %"), (11.0, "recovered"), (15.0, "healthy"))


def hutong(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hutong", *command],
        capture_output=True,
        env=environment,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_drill_over_http_and_its_traffic_rehearsed_under_a_draft(environment: dict[str, str]) -> None:
    home = Path(environment["HUTONG_HOME"]) / "drill"
    try:
        done = hutong(environment, "drill", "routing", "--json", "--rate", "10", "--outage", "5")
        report = json.loads(done.stdout)
        assert (done.returncode, report["broken"]) == (0, []), done.stderr
        assert report["payments"] == report["succeeded"] > 100
        assert 1 <= report["failures_to_leave"] <= 20
        assert report["failed_over"] == report["failures_to_leave"] + report["probes_lost"]
        events = [event for second in report["timeline"] for event in second["events"] if "wechat/one" in event]
        wanted = ["failed", "open", "recovered", "probing 1 %", "probing 5 %", "probing 25 %", "probing 100 %"]
        actual = iter(event.removeprefix("wechat/one ") for event in events)
        assert all(what in actual for what in [*wanted, "healthy"]), events
        assert all(second["payments"] == second["succeeded"] for second in report["timeline"])
        assert "probing 100 %" in done.stderr, "people see it as it happens"

        span = ("--from", report["began"], "--to", report["ended"], "--draft", str(home / "draft.json"))
        replayed = hutong(environment | {"HUTONG_HOME": str(home)}, "routing", "replay", *span, "--json")
        assert replayed.returncode == 0, replayed.stderr
        found = json.loads(replayed.stdout)
        assert (found["differing"], found["gone"]) == (0, 0)
        assert found["replayed"] == report["payments"] + report["failed_over"]
        assert found["moved"] > 0, "the second account's better offer draws traffic"
        assert found["currencies"]["CNY"]["change"]["cost_minor"] < 0, "and saves money"
    finally:
        EmbeddedServer(home).stop(unless_used=False)


def test_a_configured_database_is_left_alone(environment: dict[str, str]) -> None:
    configured = environment | {"HUTONG_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    done = hutong(configured, "drill", "routing")
    assert done.returncode == 1
    assert "HUTONG_DATABASE_URL" in done.stderr


def drill_run(*events: tuple[float, str], status: str = "succeeded") -> DrillRun:
    made = DrillRun(BEGAN, "wechat/one", BEGAN + timedelta(seconds=20))
    made.events = [AccountEvent(at, "wechat/one", what) for at, what in events]
    made.payments = {f"pay_{number:026d}": (number / 10, "succeeded") for number in range(200)}
    made.payments["pay_00000000000000000000000199"] = 19.9, status
    return made


def attempts(*, refused_until: float = 5.2, away_until: float = 15.0) -> list[reports.DrillAttempt]:
    found = []
    for number in range(200):
        at = number / 10
        account = TWO if refused_until < at < away_until else ONE
        refused = 5 <= at <= refused_until
        found.append(reports.DrillAttempt(at, UUID(int=number), account, refused=refused, probe=False))
    return found


def test_a_drill_that_went_well_is_reported_so() -> None:
    found = reports.report(drill_run(*COMES_BACK), attempts(), home="")
    assert found.broken == []
    assert (found.failures_to_leave, found.probes_lost, found.seconds_to_return) == (3, 0, 4.0)
    assert (found.share_before, found.share_after) == (1.0, 1.0)
    assert found.timeline[6].states == {"wechat/one": "open"}
    assert [row[-20:] for row in reports.picture(found.timeline, (ONE, TWO))][1] == " " * 5 + "█" * 10 + " " * 5


@pytest.mark.parametrize(
    ("events", "made", "status", "says"),
    [
        (COMES_BACK, {}, "processing", "1 payments did not succeed"),
        ((*COMES_BACK, (17.0, "open"), (18.0, "healthy")), {}, "succeeded", "came back 2 times"),
        (((5.0, "failed"), (11.0, "recovered")), {}, "succeeded", "not left within 20"),
        (((5.0, "failed"), (9.0, "open"), *COMES_BACK[3:]), {"refused_until": 9.0}, "succeeded", "not left within 20"),
        (COMES_BACK, {"away_until": 20.0}, "succeeded", "did not get its traffic back"),
    ],
)
def test_what_was_not_as_it_must_be_is_named(
    events: tuple[tuple[float, str], ...], made: dict[str, float], status: str, says: str
) -> None:
    found = reports.report(drill_run(*events, status=status), attempts(**made), home="")
    assert any(says in broken for broken in found.broken), found.broken
