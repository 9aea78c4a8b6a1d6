"""The map: every package is on it, and each traced trip goes where the page says and ends as it says."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hutong"
PAGE = ROOT / "docs" / "concepts" / "architecture.md"

TRIPS = {
    "payment": ("processing", {"api", "merchants", "idempotency", "payments", "routing", "channels"}),
    "notification": ("succeeded", {"api", "channels", "payments", "ledger", "events"}),
    "refund": ("succeeded", {"api", "merchants", "idempotency", "payments", "channels", "ledger", "events"}),
    "webhook": ("delivered", {"events"}),
    "routing": ("chosen", {"payments", "routing"}),
}
"""The state that each trip ends in, and packages that it must pass through."""


@pytest.fixture(scope="module")
def trips() -> dict[str, Any]:
    """The trips, traced in a process of their own, or as the pages have them if the source is the same."""
    sys.path.insert(0, str(ROOT / "docs" / "ext"))
    import generate

    folder = ROOT / "docs" / "_generated"
    folder.mkdir(exist_ok=True)
    found: dict[str, Any] = generate.traced(folder / "trips.json")
    return found


def steps(trip: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for leg in trip["legs"] for step in leg["steps"]]


def test_each_trip_passes_through_its_packages_and_ends_in_its_state(trips: dict[str, Any]) -> None:
    assert {name: trip["end"] for name, trip in trips.items()} == {name: end for name, (end, _) in TRIPS.items()}
    for name, (_, packages) in TRIPS.items():
        assert packages - trips[name]["packages"].keys() == set(), name


def test_figures_of_a_trip_are_those_of_its_steps(trips: dict[str, Any]) -> None:
    for trip in trips.values():
        files = [file for step in steps(trip) for file, _ in step["calls"]]
        assert trip["files"] == len(set(files))
        assert trip["changes"] == sum(one != other for one, other in pairwise(files))
        assert trip["changes"] + 1 == sum(package["entered"] for package in trip["packages"].values())
        assert trip["files"] == sum(package["files"] for package in trip["packages"].values())
        assert trip["files"] <= trip["with_floor"]["files"]
        assert all((SOURCE / file).exists() for file in files)


def test_no_request_leaves_inside_of_a_transaction(trips: dict[str, Any]) -> None:
    sent = {name: [step for step in steps(trip) if step["request"]] for name, trip in trips.items()}
    assert {name: len(found) for name, found in sent.items()} == {
        "payment": 1,
        "notification": 0,
        "refund": 1,
        "webhook": 1,
        "routing": 0,
    }
    assert [step for found in sent.values() for step in found if step["transaction"]] == []


@pytest.mark.parametrize("name", ["payment", "refund"])
def test_intent_is_committed_before_the_channel_is_called_and_the_outcome_after(
    name: str, trips: dict[str, Any]
) -> None:
    first = trips[name]["legs"][0]["steps"]
    (called,) = [place for place, step in enumerate(first) if step["request"]]
    written = [place for place, step in enumerate(first) if step["transaction"] and step["package"] == "payments"]
    assert first[called]["package"] == "channels"
    assert min(written) < called < max(written)


def test_a_notification_is_one_transaction_that_books_and_writes_the_event(trips: dict[str, Any]) -> None:
    inside = [step for step in steps(trips["notification"]) if step["transaction"]]
    assert {step["transaction"] for step in inside} == {1}
    assert {"payments", "ledger", "events"} <= {step["package"] for step in inside}


def test_pictures_show_every_step_of_every_trip(trips: dict[str, Any], parts: dict[str, str]) -> None:
    import generate

    assert parts, "the fixture finds the module"
    drawn = generate.trip_parts(trips)
    page = PAGE.read_text()
    for name, trip in trips.items():
        picture = drawn[f"{name}-trip.svg"]
        assert picture.count("<circle ") == len(steps(trip))
        assert picture.count("HTTP request") == sum(step["request"] for step in steps(trip))
        assert re.findall(r'font-weight="bold">(\w+)<', picture) == [step["package"] for step in steps(trip)]
        assert f"../_generated/{name}-trip.svg" in page
        assert f"| {name} | {trip['files']} | {trip['changes']} |" in drawn["trips.md"]


def test_every_package_and_file_of_the_top_is_on_the_map(parts: dict[str, str]) -> None:
    listed = re.findall(r"^ +(\w+)(?:/|\.py) ", parts["tree.md"], re.MULTILINE)
    packages = [file.parent.name for file in SOURCE.rglob("__init__.py") if file.parent != SOURCE]
    files = [file.stem for file in SOURCE.glob("*.py") if not file.name.startswith("__")]
    assert sorted(listed) == sorted([*packages, *files])


def test_every_layer_says_what_it_may_import(parts: dict[str, str]) -> None:
    import layers

    named = re.findall(r"^\| (.+?)(?:, beside the stack)? \|", parts["layers.md"], re.MULTILINE)[1:]
    listed = [name for names in named for name in re.findall(r"`(\w+)`", names)]
    packages = {folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").exists()}
    assert sorted(listed) == sorted({*layers.order(), *packages})
    assert "everything below, but not `config`" in parts["layers.md"]
