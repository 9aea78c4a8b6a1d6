"""PostgreSQL's manifest of a base backup: the size and the SHA-256 of each file.

The program pg_verifybackup does the same; that of the embedded server's wheel crashes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutong.backup.wal import parse_lsn

MANIFEST = "backup_manifest"
_CHANGED_LATER = {MANIFEST, "pg_wal"}
"""What no manifest lists: itself, and the write-ahead log, which is in the archive."""


@dataclass(frozen=True, slots=True)
class ManifestSummary:
    """The manifest of a backup, without its files."""

    system_identifier: int
    timeline: int
    start_lsn: int
    end_lsn: int
    size_bytes: int
    sha256: str


def read_summary(data: Path) -> ManifestSummary:
    """Return the summary of a base backup that was just made."""
    document, sha256 = _load(data)
    first, last = document["WAL-Ranges"][0], document["WAL-Ranges"][-1]
    return ManifestSummary(
        document["System-Identifier"],
        first["Timeline"],
        parse_lsn(first["Start-LSN"]),
        parse_lsn(last["End-LSN"]),
        sum(entry["Size"] for entry in document["Files"]),
        sha256,
    )


def file_faults(data: Path, *, manifest_sha256: str) -> list[str]:
    """Compare every file of a base backup with its manifest, and return the differences, each with its file."""
    try:
        document, sha256 = _load(data)
    except (OSError, ValueError, KeyError) as error:
        return [f"{MANIFEST}: {error}"]
    if sha256 != manifest_sha256:
        return [f"{MANIFEST}: it was changed"]
    faults, listed = [], set()
    for entry in document["Files"]:
        name = (
            entry["Path"] if "Path" in entry else bytes.fromhex(entry["Encoded-Path"]).decode(errors="surrogateescape")
        )
        listed.add(name)
        if (fault := _fault(data / name, entry)) is not None:
            faults.append(f"{name}: {fault}")
    for path in sorted(data.rglob("*")):
        name = str(path.relative_to(data))
        if path.is_file() and name not in listed and name.split("/")[0] not in _CHANGED_LATER:
            faults.append(f"{name}: it is not part of the backup")
    return faults


def _load(data: Path) -> tuple[dict[str, Any], str]:
    content = (data / MANIFEST).read_bytes()
    return json.loads(content), hashlib.sha256(content).hexdigest()


def _fault(path: Path, entry: dict[str, Any]) -> str | None:
    try:
        size = path.stat().st_size
        if size != entry["Size"]:
            return f"{size} bytes instead of {entry['Size']}"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error.strerror or "it cannot be read"
    return None if digest == entry["Checksum"] else "its content was changed"
