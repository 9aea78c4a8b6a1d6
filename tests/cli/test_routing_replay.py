"""`hutong routing replay`: recorded decisions come out as they did, and a draft shows what it would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psycopg
import pytest

from support.command_line import Run
from support.fixtures.routing_commands import RoutedPayments

AMOUNTS = [10_000] * 8 + [10_000_000_000]
"""The last one is too large for every account."""


@pytest.fixture
def routed(command: Run, fresh_database_url: str, tmp_path: Path) -> RoutedPayments:
    made = RoutedPayments(command, fresh_database_url, tmp_path)
    made.place(AMOUNTS, paid=6)
    return made


def draft(folder: Path, document: Any) -> str:
    file = folder / "draft.json"
    file.write_text(json.dumps(document))
    return str(file)


def cny(printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed)["currencies"]["CNY"]
    return found


def test_what_was_recorded_comes_out_again_and_the_draft_shows_the_difference(
    command: Run, routed: RoutedPayments, tmp_path: Path
) -> None:
    document = {
        "accounts": {
            "wechat/a": {"price": {"tiers": [{"ppm": 6_000}]}},
            "wechat/b": {"price": {"tiers": [{"ppm": 2_000}]}},
        },
        "policies": {"": {"priority": ["wechat/b"]}},
    }
    picture = tmp_path / "out.svg"
    arguments = ("routing", "replay", "--from", "1h", "--draft", draft(tmp_path, document))
    done = command(*arguments, "--picture", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert (output["replayed"], output["differing"], output["moved"], output["gone"]) == (9, 0, 8, 0)
    lines = {line["account"]: line for line in cny(done.stdout)["accounts"]}
    assert set(lines) == {"wechat/a", "wechat/b", "no_route"}
    assert [lines[name]["was"]["decisions"] for name in ("wechat/a", "wechat/b", "no_route")] == [8, 0, 1]
    assert [lines[name]["would"]["decisions"] for name in ("wechat/a", "wechat/b", "no_route")] == [0, 8, 1]
    assert lines["wechat/a"]["was"]["observed_success"] == 0.75
    assert lines["wechat/b"]["would"]["observed"] == 0, "what was not tried there was not seen there"
    assert lines["wechat/b"]["would"]["cost_minor"] == round(8 * 0.95 * 20)
    assert cny(done.stdout)["change"]["cost_minor"] == round(8 * 0.95 * (20 - 60)), "both at the draft's prices"
    names = {element.text for element in ET.parse(picture).iter() if element.text}
    assert {"wechat/a", "wechat/b"} <= names
    shown = command(*arguments).stdout
    assert "under the configuration that was in force: 0 differing" in shown
    assert "-3.04" in shown


def test_a_decision_that_is_not_repeated_as_recorded_is_reported(
    command: Run, routed: RoutedPayments, tmp_path: Path
) -> None:
    with psycopg.connect(routed.url) as connection:
        connection.execute(
            """UPDATE routing.decision SET record = jsonb_set(record, '{ask,amount_minor}', '10000000000')
               WHERE attempt_id = %s""",
            (routed.attempts[0],),
        )
    done = command("routing", "replay", "--from", "1h", "--draft", draft(tmp_path, {}), "--json")
    assert (done.returncode, json.loads(done.stdout)["differing"]) == (1, 1)


def test_a_decision_whose_capabilities_are_not_kept_is_left_out(
    command: Run, routed: RoutedPayments, tmp_path: Path
) -> None:
    with psycopg.connect(routed.url) as connection:
        connection.execute(
            """UPDATE routing.decision SET record = jsonb_set(record, '{basis}', '"gone"') WHERE attempt_id = %s""",
            (routed.attempts[0],),
        )
    output = json.loads(command("routing", "replay", "--from", "1h", "--draft", draft(tmp_path, {}), "--json").stdout)
    assert (output["replayed"], output["gone"]) == (8, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "yesterday"), "--from"),
        (("--from", "1h", "--to", "2h"), "--to"),
        (("--from", "1h", "--draft", "nowhere.json"), "nowhere.json"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    command: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    refused = command("routing", "replay", "--draft", draft(tmp_path, {}), *arguments)
    assert refused.returncode == 2
    assert says in refused.stderr
