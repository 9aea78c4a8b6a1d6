"""Write the bill of materials of the wheel: what it needs to run, with the extras for brokers.

    python dependencies/sbom.py            # writes dependencies/hutong.cdx.json

CycloneDX 1.6 (ECMA-424). Names, versions, licenses and who needs whom are read by `cyclonedx-py` from what is
installed; the hashes are those of the locks. A wheel carries the file under `.dist-info/sboms` (PEP 770). It leaves out
what the extra `spark` needs besides, which `requirements-spark.lock` names with its hashes.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from locked import ROOT, Pinned, everything
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BILL = Path(__file__).with_name("hutong.cdx.json")
EXTRAS = frozenset({"rabbit", "kafka", "parquet"})


def needed(package: str, extras: frozenset[str]) -> set[str]:
    """The names a package needs at run time, with what these need in turn, as the installed metadata says."""
    found: set[str] = set()
    waiting = [(package, extras)]
    seen = set(waiting)
    while waiting:
        name, wanted = waiting.pop()
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in {"", *wanted}):
                continue
            step = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            found.add(step[0])
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return found


def bill() -> str:
    """The document, the same for the same lock whenever it is made."""
    program = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--no-validate", "--sv", "1.6"]
    made = subprocess.run([*program, *options, "--of", "JSON"], capture_output=True, text=True, check=True)
    document = json.loads(made.stdout)
    names = needed("hutong", EXTRAS)
    locked: dict[str, list[Pinned]] = {}
    for entry in everything():
        locked.setdefault(entry.name, []).append(entry)
    components = [each for each in document["components"] if canonicalize_name(each["name"]) in names]
    for component in components:
        name, version = canonicalize_name(component["name"]), component["version"]
        lines = [entry.lines for entry in locked[name] if entry.version == version]
        if not lines:
            raise SystemExit(f"{name} {version} is installed, and another version is locked: make setup")
        component["externalReferences"] = [_distributions(name, lines[0])]
    kept = {each["bom-ref"] for each in components} | {document["metadata"]["component"]["bom-ref"]}
    document["components"] = components
    document["dependencies"] = [
        {**each, "dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in kept]}
        for each in document["dependencies"]
        if each["ref"] in kept
    ]
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _distributions(name: str, lines: str) -> dict[str, Any]:
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", lines)
    return {
        "type": "distribution",
        "url": f"https://pypi.org/simple/{name}/",
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
    }


if __name__ == "__main__":
    BILL.write_text(bill())
