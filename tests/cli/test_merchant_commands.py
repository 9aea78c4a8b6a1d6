"""`hutong merchant …`: merchants are found, changed, disabled; keys have scopes; the journal keeps it all."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Run
from support.guides import ID, consoles, guide, steps
from support.pictures import png


def answer(command: Run, *arguments: str) -> Any:
    done = command("merchant", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(command: Run, *arguments: str) -> str:
    done = command("merchant", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_the_guide(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the guide, as printed, in its order; then what came of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logo.png").write_bytes(png(64, 64))
    key = link = ""
    for line, _ in (step for block in consoles(guide("merchants.md")) for step in steps(block)):
        named = {"key": key, "lnk": link}
        arguments = [named.get(part[:3], part) if ID.fullmatch(part) else part for part in shlex.split(line)[1:]]
        done = command(*arguments)
        assert done.returncode == 0, (line, done.stderr)
        if arguments[1] == "add-key":
            key = next(found[0] for found in ID.finditer(done.stdout) if found[0].startswith("key_"))
        link = next((found[0] for found in ID.finditer(done.stdout) if found[0].startswith("lnk_")), link)
    for name, amount in (("poster.html", False), ("pass.html", True)):
        page = (tmp_path / name).read_text()
        assert ("¥19.99" in page, "data:image/svg+xml" in page, "Example Store" in page) == (amount, True, True)
        assert re.findall(r"(?:src|href)=.(?!data:)", page) == [], "nothing from elsewhere"
    table, day_pass = answer(command, "links", "Example Store")["links"]
    assert (table["least_minor"], table["most_minor"], table["subject"]) == (1, 1_000_000, "Table 7")
    assert (day_pass["least_minor"], day_pass["most_minor"]) == (1999, 1999)
    assert [one["disabled_at"] is None for one in (table, day_pass)] == [False, True]
    gone = ("poster", "Example Store", "--link", table["link_id"], "--to", "again.html")
    assert "--link" in refusal(command, *gone)
    shown = answer(command, "show", "example store")
    first, second = shown.pop("keys")
    assert shown | {"merchant_id": "", "logo": ""} == {
        "merchant_id": "", "name": "Example Store", "status": "enabled", "disabled_at": None, "fee_ppm": 0,
        "returns_fee": True, "return_origins": ["https://www.shop.example"], "validity_minutes": 30, "logo": "",
        "color": None, "methods": [], "switching": "strict",
    }  # fmt: skip
    assert len(shown["logo"]) == 64
    assert (first["scopes"], first["expires_at"], first["revoked_at"]) == (None, None, None)
    assert (second["scopes"], second["key_id"]) == (["payments:read", "refunds:write"], key)
    assert second["expires_at"][:10] > second["created_at"][:10]
    assert second["revoked_at"] is not None
    audit = json.loads(command("operator", "audit", "list", "--json").stdout)["audit"]
    about = [(entry["action"], entry["reason"]) for entry in audit if entry["object_id"] == shown["merchant_id"]]
    assert about[:2] == [("merchant.enable", "contract renewed"), ("merchant.disable", "contract ended")]
    assert {action for action, _ in about[2:]} == {"merchant.update"}
    verified = command("operator", "audit", "verify")
    assert verified.returncode == 0, verified.stdout


def test_merchants_are_found_and_changed(command: Run, tmp_path: Path) -> None:
    shop = answer(command, "create", "Example Store", "--return-origin", "https://shop.example")["merchant_id"]
    tea = answer(command, "create", "茶馆", "--fee-ppm", "6000")["merchant_id"]
    assert [one["merchant_id"] for one in answer(command, "list")["merchants"]] == [tea, shop]
    assert [one["name"] for one in answer(command, "list", "--name", "example s")["merchants"]] == ["Example Store"]
    assert answer(command, "list", "--name", "%")["merchants"] == []
    assert "https://shop.example" in command("merchant", "list").stdout
    (tmp_path / "logo.png").write_bytes(png(64, 64))
    changed = answer(
        command, "update", "Example Store", "--name", "Example Shop", "--color", "#0A7D3C",
        "--logo", str(tmp_path / "logo.png"), "--method", "wechat", "--method", "alipay_qr", "--switching", "strict",
        "--validity-minutes", "30", "--keep-fee", "--reason", "new sign",
    )  # fmt: skip
    wanted = ("Example Shop", "#0a7d3c", ["wechat", "alipay_qr"], "strict", 30, False, 0, ["https://shop.example"])
    names = ["name", "color", "methods", "switching", "validity_minutes", "returns_fee", "fee_ppm", "return_origins"]
    assert tuple(changed[name] for name in names) == wanted
    unset = ["color", "logo", "methods", "switching", "validity"]
    bare = answer(command, "update", shop, *(part for name in unset for part in ("--unset", name)))
    nothing = {"color": None, "logo": None, "methods": [], "switching": None, "validity_minutes": None}
    assert bare == changed | nothing


def test_what_is_wrong_is_refused_and_named(command: Run, tmp_path: Path) -> None:
    shop = answer(command, "create", "Example Store")["merchant_id"]
    other = answer(command, "create", "example store")["merchant_id"]
    several = refusal(command, "show", "Example Store")
    assert shop in several
    assert other in several
    assert "merchant list" in refusal(command, "show", "Nobody")
    assert "merchant list" in refusal(command, "disable", "mer_00000000000000000000000000", "--reason", "x")
    assert "--remove-return-origin" in refusal(command, "update", shop, "--remove-return-origin", "https://a.example")
    assert "--unset" in refusal(command, "update", shop, "--unset", "color", "--color", "#ffffff")
    assert "`color`" in refusal(command, "update", shop, "--color", "red")
    assert "return_origins" in refusal(command, "update", shop, "--add-return-origin", "https://a.example/b")
    assert "--logo" in refusal(command, "update", shop, "--logo", str(tmp_path / "absent.png"))
    (tmp_path / "logo.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert "payments:read" in refusal(command, "add-key", shop, "--scope", "everything")
    assert "PNG, JPEG or WebP" in refusal(command, "update", shop, "--logo", str(tmp_path / "logo.png"))
    before = answer(command, "show", shop)
    refusal(command, "update", shop, "--name", "New", "--fee-ppm", "200001")  # neither half is done
    assert answer(command, "show", shop) == before
