"""`hutong routing check`, `publish`, `status`, `pin`, `block` and `lift` as operators run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Run
from support.fixtures.routing_commands import METHOD, RoutedPayments, keys

GOOD = {"accounts": {"wechat/a": {"price": {"tiers": [{"ppm": 6_000}]}}}, "policies": {"": {"priority": ["wechat/a"]}}}
REASON = ("--reason", "the channel has called")


@pytest.fixture
def routed(command: Run, fresh_database_url: str, tmp_path: Path) -> RoutedPayments:
    return RoutedPayments(command, fresh_database_url, tmp_path)


def written(folder: Path, text: str) -> str:
    file = folder / "routing.json"
    file.write_text(text)
    return str(file)


def status(command: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("routing", "status", "--json").stdout)
    return found


def test_a_file_is_checked_without_a_database(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert command("routing", "check", written(tmp_path, json.dumps(GOOD))).stdout == "it may be published\n"
    wrong = written(tmp_path, '{\n"policies": {"": {\n"weights": {"latency": 1.5}}}\n}')
    refused = command("routing", "check", wrong)
    assert refused.returncode == 2
    assert "routing_configuration_refused: line 3: `policies..weights.latency` must be at most 1" in refused.stderr
    output = json.loads(command("routing", "check", wrong, "--json").stdout)
    assert (output["ok"], output["param"]) == (False, "policies..weights.latency")


def test_a_file_is_checked_against_the_accounts_there_are(command: Run, routed: RoutedPayments, tmp_path: Path) -> None:
    wrong = written(tmp_path, json.dumps(GOOD, indent=1).replace("wechat/a", "wechat/c"))
    assert command("routing", "check", wrong).returncode == 0
    refused = command("routing", "check", wrong, "--accounts")
    assert (refused.returncode, "line 3: accounts.wechat/c: there is no account" in refused.stderr) == (2, True)


def test_publishing_takes_two_persons_and_what_is_refused_leaves_the_old_version(
    command: Run, routed: RoutedPayments, tmp_path: Path
) -> None:
    files = keys(command, tmp_path)
    good = written(tmp_path, json.dumps(GOOD))
    made = command("routing", "publish", good, "--key", files["operator"], *REASON, "--json")
    assert made.returncode == 0, made.stderr
    proposal = json.loads(made.stdout)["proposal_id"]
    assert status(command)["configuration"] == 0, "one person alone changes nothing"
    alone = command("routing", "approve", proposal, "--key", files["operator"], *REASON)
    assert (alone.returncode, "not_permitted" in alone.stderr) == (2, True)
    assert command("routing", "approve", proposal, "--key", files["approver"], *REASON).returncode == 0
    assert status(command)["configuration"] == 1
    excluded = json.dumps({"accounts": {f"wechat/{name}": {"month_limit_minor": 0} for name in "ab"}}, indent=1)
    for text, says in (("{\n", "line 2"), (excluded, "every channel is excluded")):
        refused = command("routing", "publish", written(tmp_path, text), "--key", files["operator"], *REASON)
        assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr
    assert status(command)["configuration"] == 1


def test_a_pin_and_a_block_are_set_seen_and_lifted(command: Run, routed: RoutedPayments, tmp_path: Path) -> None:
    key = ("--key", keys(command, tmp_path)["operator"])
    pinned = command("routing", "pin", "payment", "wechat/a", "--until", "2h", *key, *REASON, "--json")
    assert pinned.returncode == 0, pinned.stderr
    blocked = command("routing", "block", "wechat/b", *key, *REASON)
    assert "until it is lifted" in blocked.stdout
    found = status(command)
    assert [(one["kind"], one["account"]) for one in found["overrides"]] == [("pin", "wechat/a"), ("block", "wechat/b")]
    assert {one["name"]: one["blocked"] for one in found["accounts"]} == {"wechat/a": None, "wechat/b": REASON[1]}
    assert "pin of payment wechat/a until" in command("routing", "status").stdout
    number = json.loads(pinned.stdout)["id"]
    assert command("routing", "lift", number, *key, *REASON).returncode == 0
    assert [one["kind"] for one in status(command)["overrides"]] == ["block"]
    assert "not_found" in command("routing", "lift", number, *key, *REASON).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pin", "payment", "wechat/c", "--until", "2h"), "there are wechat/a, wechat/b (account)"),
        (("pin", "payment", "wechat", "--until", "2h"), "there is no account wechat"),
        (("pin", "payments", "wechat/a", "--until", "2h"), "there is no product payments (product)"),
        (("pin", "*", "wechat/a", "--until", "8d"), "within 7 days (until)"),
        (("pin", "*", "wechat/a", "--until", "soon"), "--until"),
        (("block", "alipay"), "there is no account alipay"),
    ],
)  # fmt: skip
def test_a_pin_or_a_block_of_what_is_not_there_is_refused_with_the_field(
    command: Run, routed: RoutedPayments, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    key = keys(command, tmp_path)["operator"]
    refused = command("routing", *arguments, "--key", key, *REASON)
    assert (refused.returncode, says in refused.stderr) == (2, True), refused.stderr


def test_the_status_shows_how_each_account_is_doing_and_why(command: Run, routed: RoutedPayments) -> None:
    routed.fail("wechat/a", 20)
    (account,) = (one for one in status(command)["accounts"] if one["name"] == "wechat/a")
    (interface,) = account["interfaces"]
    assert (interface["interface"], interface["state"], interface["share"]) == (METHOD, "open", 0.0)
    assert "attempts failed technically" in interface["why"]
    assert interface["since"]
    assert "open" in command("routing", "status").stdout


def test_a_suggested_switch_is_listed_confirmed_and_dismissed(
    command: Run, routed: RoutedPayments, tmp_path: Path
) -> None:
    files = keys(command, tmp_path)
    assert "There are no suggestions." in command("routing", "suggestions", "list").stdout
    asking = written(tmp_path, json.dumps({"policies": {"": {"mode": "suggest"}}}))
    made = command("routing", "publish", asking, "--key", files["operator"], *REASON, "--json")
    proposal = json.loads(made.stdout)["proposal_id"]
    assert command("routing", "approve", proposal, "--key", files["approver"], *REASON).returncode == 0
    routed.fail("wechat/a", 20)
    routed.fail("wechat/b", 20)
    assert "suggested: leave wechat/a" in command("routing", "status").stdout
    first, second = json.loads(command("routing", "suggestions", "list", "--json").stdout)["suggestions"]
    assert (first["what"], first["account"], second["account"]) == ("leave", "wechat/a", "wechat/b")
    confirmed = command("routing", "suggestions", "confirm", first["id"], "--key", files["operator"], *REASON)
    assert "wechat/a is left" in confirmed.stdout, confirmed.stderr
    again = command("routing", "suggestions", "confirm", first["id"], "--key", files["operator"], *REASON)
    assert (again.returncode, "not_found" in again.stderr) == (2, True)
    assert (
        command("routing", "suggestions", "dismiss", second["id"], "--key", files["operator"], *REASON).returncode == 0
    )
    assert "(dismissed)" in command("routing", "suggestions", "list").stdout
    (leave,) = status(command)["overrides"]
    assert (leave["kind"], leave["account"], leave["interface"]) == ("leave", "wechat/a", METHOD)
