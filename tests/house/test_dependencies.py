"""What is locked: no published advisory concerns it, and the bill of materials names it with its hashes."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import advisories
import locked
import pytest
import sbom

ROOT = Path(__file__).parents[2]
LOCK = locked.everything()


def record(*events: dict[str, str], **other: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Some_Package"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}, {"type": "GIT", "events": [{"introduced": "0"}]}],
    }
    return {"id": "GHSA-1", "modified": "2026-01-02T03:04:05Z", "affected": [affected], **other}


def test_no_advisory_concerns_a_locked_version_unless_it_is_accepted() -> None:
    kept = json.loads(advisories.KEPT.read_text())
    assert len(kept["advisories"]) > 50
    found = advisories.affected(kept["advisories"], LOCK)
    assert {advisory["id"] for _, advisory in found} <= advisories.accepted(None)


def test_an_older_version_of_what_is_locked_would_be_found() -> None:
    kept = json.loads(advisories.KEPT.read_text())
    old = [locked.Pinned("jinja2", "2.10", ""), locked.Pinned("aiohttp", "3.9.1", "")]
    assert {each.name for each, _ in advisories.affected(kept["advisories"], old)} == {"jinja2", "aiohttp"}


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}, {"fixed": "3.9.2"}], ["0.1a1", "3.9.1", "3.9.2rc1"], ["3.9.2", "3.9.2.post1", "10.0"]),
        ([{"introduced": "2.0"}, {"last_affected": "2.5"}], ["2.0", "2.5"], ["1.9", "2.5.1"]),
        (
            [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}],
            ["1.1", "2.0.5"],
            ["1.2", "1.9", "2.1"],
        ),
        ([{"fixed": "2.1"}, {"introduced": "2.0"}], ["2.0"], ["2.1", "1.0"]),
        ([{"introduced": "1.0"}], ["1.0", "99"], ["0.9"]),
        ([{"introduced": "unreadable"}, {"fixed": "2.0"}], ["0.1", "1.9"], ["2.0"]),
        ([{"introduced": "0"}, {"fixed": "unreadable"}], ["0.1", "99"], []),
    ],
)
def test_ranges_are_read_as_the_schema_says(
    events: list[dict[str, str]], inside: list[str], outside: list[str]
) -> None:
    [advisory] = advisories.reduced(record(*events), {"some-package"})
    assert all(advisories.concerns(advisory, version) for version in inside)
    assert not any(advisories.concerns(advisory, version) for version in outside)


def test_versions_that_are_listed_beside_the_ranges_count_too() -> None:
    found = record({"introduced": "0"}, {"fixed": "1.0"})
    found["affected"][0]["versions"] = ["0.9", "1.3"]
    [advisory] = advisories.reduced(found, {"some-package"})
    assert advisory["versions"] == ["1.3"]
    assert advisories.concerns(advisory, "1.3")
    assert not advisories.concerns(advisory, "1.2")


def test_refreshing_keeps_what_concerns_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "advisories.json"
    monkeypatch.setattr(advisories, "KEPT", kept)
    mine, strange, other = record({"introduced": "0"}), record({"introduced": "0"}), record({"introduced": "0"})
    mine["affected"][0]["package"]["name"] = "AioHTTP"
    other["affected"][0]["package"] = {"ecosystem": "npm", "name": "aiohttp"}
    withdrawn = {**mine, "id": "GHSA-2", "withdrawn": "2026-01-03T00:00:00Z"}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        for number, each in enumerate((mine, strange, other, withdrawn)):
            packed.writestr(f"{number}.json", json.dumps(each))
    assert advisories.main(["refresh", str(tmp_path / "all.zip")]) == 0
    assert [each["id"] for each in json.loads(kept.read_text())["advisories"]] == ["GHSA-1"]
    assert advisories.main([]) == 1
    assert "aiohttp" in capsys.readouterr().out


def test_the_bill_of_materials_is_that_of_the_lock() -> None:
    document = json.loads(sbom.BILL.read_text())
    lines = {(each.name, each.version): each.lines for each in LOCK}
    components = {each["purl"].removeprefix("pkg:pypi/").partition("@")[0]: each for each in document["components"]}
    assert components.keys() == sbom.needed("hutong", sbom.EXTRAS)
    for name, component in components.items():
        [distributions] = component["externalReferences"]
        pinned = lines[name, component["version"]]
        assert all(f"--hash=sha256:{each['content']}" in pinned for each in distributions["hashes"])
        assert len(distributions["hashes"]) == pinned.count("--hash=")
    assert "pytest" not in components


def test_every_locked_file_has_its_hash() -> None:
    assert len(LOCK) > 100
    assert all("--hash=sha256:" in each.lines for each in LOCK)


def test_a_line_that_is_not_pinned_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="not a pinned package: example @ https"):
        locked.pinned("aiohttp==3.9.2 \\\n    --hash=sha256:00\nexample @ https://example.com/a.whl\n")


def test_the_wheel_carries_its_bill_of_materials(tmp_path: Path) -> None:
    uv = ROOT / ".venv" / "bin" / "uv"
    subprocess.run([uv, "build", "-q", "--no-build-isolation", "--wheel", "-o", tmp_path, ROOT], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        [name] = [each for each in packed.namelist() if "/sboms/" in each]
        assert packed.read(name) == sbom.BILL.read_bytes()
