"""Install what is locked: what runs Hutong, with `--development` also what tests it, with `--spark` also Spark.

    python3 dependencies/install.py [--development] [--spark] .venv

Needs Python with pip and nothing else. uv installs. It does not read pip's settings
(https://docs.astral.sh/uv/pip/compatibility/), so those that name package indexes, certificates and a proxy are passed
on to it, unless uv has settings of its own. For `--development` uv stays in the environment; otherwise it is removed,
since it is larger than most of what it installs.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRODUCT, DEVELOPMENT, SPARK = "requirements.lock", "requirements-dev.lock", "requirements-spark.lock"


def settings_of_pip(listing: str) -> dict[str, str]:
    """Read the output of `pip config list`; what is set for `install` goes before what is set for all commands.

    The environment (`PIP_…`) goes before both.
    """
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found:
            text = ast.literal_eval(value)
            found[section][key.removeprefix("default-")] = str(text)
    return found["global"] | found["install"] | found[":env:"]


def options_for_uv(pip: Mapping[str, str], environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the options and the variables with which uv does as pip would.

    Args:
        pip: Settings of pip, by name.
        environment: The variables of this process. Those of uv win, and lead to none of pip's indexes.
    """
    options: list[str] = []
    variables: dict[str, str] = {}
    indexes = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX", "UV_FIND_LINKS")
    if not any(environment.get(name) for name in indexes):
        if "index-url" in pip:
            variables["UV_DEFAULT_INDEX"] = pip["index-url"]
        if extra := pip.get("extra-index-url", "").split():
            variables["UV_INDEX"] = " ".join(extra)
            # As with pip, each index may have the wanted version; the hashes in the lock say which file is right.
            variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        options += [part for place in pip.get("find-links", "").split() for part in ("--find-links", place)]
        if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
            options.append("--no-index")
    if "UV_INSECURE_HOST" not in environment:
        hosts = pip.get("trusted-host", "").split()
        options += [part for host in hosts for part in ("--allow-insecure-host", host)]
    proxy = pip.get("proxy", "")
    others = {
        "SSL_CERT_FILE": pip.get("cert", ""),
        "SSL_CLIENT_CERT": pip.get("client-cert", ""),
        "HTTPS_PROXY": proxy,
        "HTTP_PROXY": proxy,
        "UV_HTTP_TIMEOUT": pip.get("timeout", ""),
    }
    taken = environment.keys()
    variables |= {name: value for name, value in others.items() if value and not {name, name.lower()} & taken}
    return options, variables


def install(target: Path, *, development: bool, spark: bool) -> None:
    """Install into the environment at `target`, which is made if absent."""
    python = target / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], check=True)
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    options, variables = options_for_uv(settings_of_pip(listing.stdout), os.environ)
    locks = [PRODUCT, *([DEVELOPMENT] if development else []), *([SPARK] if spark else [])]
    with tempfile.TemporaryDirectory() as folder:
        uv = _find_uv(target, Path(folder), keep=development)
        command = [uv, "pip", "install", "--quiet", "--python", python, *options]
        chosen = [part for lock in locks for part in ("-r", ROOT / lock)]
        environment = os.environ | variables
        subprocess.run([*command, "--compile-bytecode", "--require-hashes", *chosen], check=True, env=environment)
        subprocess.run([*command, "--no-deps", "-e", ROOT], check=True, env=environment)
    subprocess.run([python, "-m", "compileall", "-q", ROOT / "src"], check=True)


def _find_uv(target: Path, folder: Path, *, keep: bool) -> Path:
    """Return uv's program: the one in the environment, or a new one, there or in a temporary folder."""
    own = target / "bin" / "uv"
    if own.exists():
        return own
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if keep:
        subprocess.run([*pip, "--python", target / "bin" / "python", "install", "uv"], check=True)
        return own
    subprocess.run([*pip, "install", "--target", folder, "uv"], check=True)
    return folder / "bin" / "uv"


def main() -> None:
    """Install, and end with the status of what failed."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    arguments.add_argument("--development", action="store_true", help="also what tests it")
    arguments.add_argument("--spark", action="store_true", help="also what matches on a Spark cluster")
    arguments.add_argument("target", type=Path, help="the virtual environment")
    chosen = arguments.parse_args()
    try:
        install(chosen.target, development=chosen.development, spark=chosen.spark)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
