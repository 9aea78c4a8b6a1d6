"""Compare what is locked with the published advisories kept beside this file.

    python dependencies/advisories.py                  # check; status 1 if a locked version is affected
    python dependencies/advisories.py refresh          # fetch all advisories of PyPI anew (needs the network)
    python dependencies/advisories.py refresh all.zip  # the same from a file that is at hand

The records are OSV's (https://ossf.github.io/osv-schema/), reduced to what a comparison needs, of the packages that are
locked. What cannot be upgraded yet is accepted in `accepted.json`: id, reason, and the day the acceptance ends.
"""

from __future__ import annotations

import io
import json
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from locked import Pinned, everything
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

SOURCE = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
KEPT = Path(__file__).with_name("advisories.json")
ACCEPTED = Path(__file__).with_name("accepted.json")
OLD = 30  # days after which a check reminds of refreshing

Advisory = dict[str, Any]


def reduced(record: dict[str, Any], names: set[str]) -> Iterator[Advisory]:
    """The parts of one OSV record that concern these packages. A withdrawn record concerns none."""
    if record.get("withdrawn"):
        return
    for affected in record.get("affected", ()):
        package = affected.get("package", {})
        name = canonicalize_name(package.get("name", ""))
        if package.get("ecosystem") != "PyPI" or name not in names:
            continue
        ranges = [each["events"] for each in affected.get("ranges", ()) if each.get("type") == "ECOSYSTEM"]
        listed = [each for each in affected.get("versions", ()) if not _in_ranges(ranges, each)]
        yield {
            "id": record["id"],
            "aliases": sorted(record.get("aliases", ())),
            "modified": record["modified"][:10],
            "package": name,
            "ranges": ranges,
            "versions": sorted(listed),
        }


def concerns(advisory: Advisory, version: str) -> bool:
    """Whether a version is affected: it is listed, or lies in a range."""
    return version in advisory["versions"] or _in_ranges(advisory["ranges"], version)


def _in_ranges(ranges: list[list[dict[str, str]]], version: str) -> bool:
    try:
        return any(_within(events, Version(version)) for events in ranges)
    except InvalidVersion:
        return False


def _within(events: list[dict[str, str]], version: Version) -> bool:
    """OSV's own evaluation: of the events in the order of their versions, the last one that applies decides."""
    inside = False
    for bound, kind in sorted((_bound(kind, text), kind) for event in events for kind, text in event.items()):
        if kind == "introduced" and version >= bound:
            inside = True
        elif (kind == "fixed" and version >= bound) or (kind == "last_affected" and version > bound):
            inside = False
    return inside


def _bound(kind: str, text: str) -> Version:
    """A bound as a version. "0" is before every version. One that cannot be read makes more affected, never less."""
    if text == "0":
        return Version("0.dev0")
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0") if kind == "introduced" else Version("9999!0")


def affected(advisories: list[Advisory], lock: list[Pinned]) -> list[tuple[Pinned, Advisory]]:
    """Each locked version with each advisory that concerns it."""
    by_name: dict[str, list[Advisory]] = {}
    for advisory in advisories:
        by_name.setdefault(advisory["package"], []).append(advisory)
    return [
        (each, advisory) for each in lock for advisory in by_name.get(each.name, ()) if concerns(advisory, each.version)
    ]


def accepted(today: date | None) -> set[str]:
    """The ids that are accepted; with a day, only those whose acceptance has not ended."""
    entries = json.loads(ACCEPTED.read_text())
    return {each["id"] for each in entries if today is None or date.fromisoformat(each["until"]) >= today}


def refresh(archive: bytes, source: str) -> None:
    """Write the file anew from an archive of OSV records, which it names."""
    names = {each.name for each in everything()}
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        members = [name for name in packed.namelist() if name.endswith(".json")]
        found = [part for name in members for part in reduced(json.loads(packed.read(name)), names)]
    found.sort(key=lambda each: (each["package"], each["id"]))
    document = {
        "source": source,
        "newest": max((each["modified"] for each in found), default=""),
        "refreshed": datetime.now(UTC).date().isoformat(),
        "advisories": found,
    }
    KEPT.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(f"{len(found)} advisories of {len(names)} locked packages, the newest of {document['newest']}")


def check(today: date) -> int:
    """Print what is affected and not accepted. Status 1 if there is any."""
    kept = json.loads(KEPT.read_text())
    lock = everything()
    taken = accepted(today)
    found = [(each, advisory) for each, advisory in affected(kept["advisories"], lock) if advisory["id"] not in taken]
    for each, advisory in found:
        print(f"{each.name} {each.version}: {advisory['id']} {' '.join(advisory['aliases'])}")
    known = len(kept["advisories"])
    print(f"{len(lock)} packages against {known} advisories up to {kept['newest']}: {len(found)} affected")
    if (today - date.fromisoformat(kept["newest"])).days > OLD:
        print(f"The newest advisory is more than {OLD} days old: make advisories", file=sys.stderr)
    return 1 if found else 0


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            return check(datetime.now(UTC).date())
        case ["refresh"]:
            with urllib.request.urlopen(SOURCE, timeout=60) as answer:
                refresh(answer.read(), SOURCE)
        case ["refresh", file]:
            refresh(Path(file).read_bytes(), Path(file).name)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
