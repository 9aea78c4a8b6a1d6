"""The wheel, installed beside what it needs to run and nothing else."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import sbom

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv" / "bin" / "uv"


def build_wheel(folder: Path) -> Path:
    """Build the wheel from this tree."""
    subprocess.run([UV, "build", "-q", "--no-build-isolation", "--wheel", "-o", folder, ROOT], check=True)
    [built] = folder.glob("*.whl")
    return built


def install_wheel(wheel: Path, environment: Path) -> Path:
    """Install the wheel into a new virtual environment without any network; return the folder of its packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [site] = environment.glob("lib/python*/site-packages")
    for name in sbom.needed("hutong", frozenset()):
        for file in importlib.metadata.files(name) or ():
            top = file.parts[0]
            target = Path(str(importlib.metadata.distribution(name).locate_file(top))).resolve()
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(target)
    python = environment / "bin" / "python"
    options = ["-q", "--offline", "--no-deps", "--compile-bytecode", "--python", python]
    subprocess.run([UV, "pip", "install", *options, wheel], check=True)
    return site
